"""JSON and records: strict, typed, one line that names file and key."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from wotd_mlx.io.json import parse_json, read_json, read_json_lines, write_json
from wotd_mlx.io.records import checked, shown
from wotd_mlx.schemas import MissingError, WotdError

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc ü\n", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_is_written_reads_back(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("json") / "a.json"
    write_json(file, content)
    assert read_json(file, Any, "") == content


def test_a_mapping_is_one_entry_a_line(tmp_path):
    write_json(tmp_path / "a", {"words": {"a": [1, 2], "b": [3, 4]}, "rows": [{"n": 1}, {"n": 2}]})
    assert (tmp_path / "a").read_text() == (
        '{\n  "words": {\n    "a": [1, 2],\n    "b": [3, 4]\n  },\n  "rows": [\n    {"n": 1},\n    {"n": 2}\n  ]\n}\n'
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a": ', "not JSON (Expecting value"),
        (b"", "not JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "not JSON (the key 'c' stands there twice)"),
        (b"[NaN]", "NaN is no number in JSON"),
        (b"[-Infinity]", "-Infinity is no number in JSON"),
        (b"[1e999]", "1e999 is too large a number"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\uDfff": 1}', "half of a surrogate pair"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deep"),
        (b"9" * 5000, "not JSON (Exceeds the limit"),
        (b'"\xff"', "not UTF-8 (byte 2)"),
        (b"\0" * 10, "not JSON"),
    ],
)
def test_what_is_no_json_is_refused_in_one_line(raw, message):
    with pytest.raises(WotdError) as caught:
        parse_json(raw, "file")
    assert str(caught.value).startswith(f"file: {message.partition(':')[0]}") or message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_what_json_says_or_an_error(raw):
    try:
        ours: Any = parse_json(raw, "x")
    except WotdError:
        return
    theirs = json.loads(raw.decode("utf-8-sig"))
    assert ours == theirs


@dataclass(frozen=True)
class Inner:
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    names: tuple[str, ...] = ()
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    table: dict[str, list[int]]
    rows: tuple[Inner, ...] = ()
    maybe: Inner | None = None

    def __post_init__(self) -> None:
        if "bad" in self.table:
            raise WotdError("a table can't be bad")


def test_a_record_is_built_with_its_parts():
    raw = {"inner": {"count": 2, "names": ["a"], "share": 1}, "table": {"k": [1]}, "rows": [{"count": 3}]}
    found = checked(Outer, raw, "x")
    assert found == Outer(Inner(2, ("a",), 1.0), {"k": [1]}, (Inner(3),))
    assert isinstance(found.inner.share, float)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "x: it is [], expected keys and values"),
        ({"table": {}}, "x: it lacks inner"),
        ({"inner": {}, "tabel": {}}, "x: unknown keys 'tabel'; known are inner, table, rows, maybe"),
        ({"inner": {"cuont": 1}, "table": {}}, "x: inner has unknown keys 'cuont'; known are count, names, share"),
        ({"inner": {}, "table": {}, "rows": [{}, {"n": 1}]}, "x: rows[1] has unknown keys 'n'; known are count, names"),
        ({"inner": {"count": 0}, "table": {}}, "x: inner.count is 0, expected int >= 1"),
        ({"inner": {"count": 11}, "table": {}}, "x: inner.count is 11, expected int <= 10"),
        ({"inner": {"count": True}, "table": {}}, "x: inner.count is True, expected int"),
        ({"inner": {"count": 1.5}, "table": {}}, "x: inner.count is 1.5, expected int"),
        ({"inner": {"names": "ab"}, "table": {}}, "x: inner.names is 'ab', expected a list"),
        ({"inner": {"names": ["a", 1]}, "table": {}}, "x: inner.names[1] is 1, expected str"),
        ({"inner": {"share": "1"}, "table": {}}, "x: inner.share is '1', expected float | null"),
        ({"inner": {}, "maybe": [], "table": {}}, "x: maybe is [], expected keys and values | null"),
        ({"inner": {}, "table": {"k": [1, None]}}, "x: table.k[1] is None, expected int"),
        ({"inner": {}, "table": {"k": 1}}, "x: table.k is 1, expected a list"),
        ({"inner": {}, "table": {"bad": [1]}}, "x: a table can't be bad"),
        ({"inner": {}, "table": {"k": [10**40]}}, "x: table.k[0] is 1000"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(raw, message):
    if "10**40" in message or message.endswith("1000"):
        assert checked(Outer, raw, "x").table["k"] == [10**40]
        return
    with pytest.raises(WotdError) as caught:
        checked(Outer, raw, "x")
    assert message in str(caught.value)


@dataclass(frozen=True)
class Shared:
    inner: Inner
    further_keys: ClassVar[bool] = True


def test_a_record_may_have_keys_of_others():
    assert checked(Shared, {"inner": {"count": 2}, "theirs": [None], "further_keys": 3}, "x") == Shared(Inner(2))
    with pytest.raises(WotdError, match="x: inner has unknown keys 'theirs'"):
        checked(Shared, {"inner": {"theirs": 1}, "theirs": 1}, "x")


def test_files_and_lines_are_named(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"count": 0}')
    with pytest.raises(WotdError, match=r"a\.json: count is 0, expected int >= 1; train again"):
        read_json(file, Inner, "train again")
    with pytest.raises(MissingError, match="no file"):
        read_json(tmp_path / "b.json", Inner, "train again")
    file.write_text('{"count": 1}\n\n{"count": 2}\r\n{"count": "3"}\n')
    rows = read_json_lines(file, Inner, "give rows")
    assert [next(rows), next(rows)] == [(f"{file}:1", Inner(1)), (f"{file}:3", Inner(2))]
    with pytest.raises(WotdError, match=r"a\.json:4: count is '3', expected int"):
        next(rows)


def test_what_an_error_repeats_is_short_and_on_one_line():
    assert len(shown("x" * 1000)) == 60
    assert "\n" not in shown("a\nb")
    assert shown(int("9" * 4000) * 10**4000) == "a int"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"
    assert math.isclose(float(shown(0.1)), 0.1)
