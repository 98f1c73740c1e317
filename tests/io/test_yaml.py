"""Settings as YAML: keys and values, and neither bombs nor keys that come twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.config import TrainingConfig
from wotd_mlx.io.records import checked
from wotd_mlx.io.yaml import read_yaml
from wotd_mlx.schemas import MissingError, WotdError

MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


def read(tmp_path, text: str | bytes) -> dict[str, Any]:
    file = tmp_path / "c.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(file)


def test_settings_are_read(tmp_path):
    raw = read(tmp_path, "seed: 4\ncodes:\n  kind: rvq\n  learning_rate: 1e-3\n  clip: 2\n  levels: [8, 8]\n")
    assert raw == {"seed": 4, "codes": {"kind": "rvq", "learning_rate": 0.001, "clip": 2, "levels": [8, 8]}}
    assert read(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [1", "c.yaml:1: not YAML"),
        ("- a\n- b", "c.yaml holds ['a', 'b']; expected keys and values"),
        ("\x00", "not YAML"),
        ("seed: 1\nseed: 2\n", "c.yaml:2: not YAML: the key 'seed' stands there twice"),
        ("codes:\n  kind: rvq\n  kind: fsq\n", "c.yaml:3: not YAML: the key 'kind' stands there twice"),
        (MERGE_BOMB, "c.yaml:2: not YAML: aliases aren't read here"),
        ("a: &a [*a]\n", "aliases aren't read here"),
        ("[" * 20_000, "nested too deep"),
        ("{a: " * 20_000, "nested too deep"),
        ("? [a, b]\n: 1\n", "a key that is no text"),
        ("seed: " + "9" * 5000, "a value that can't be read"),
        ("when: 2020-13-45\n", "a value that can't be read"),
        (b"seed: \xff", "not UTF-8"),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
        ("a: " + "b" * (1 << 20), "bytes, expected at most 1,048,576"),
    ],
)
def test_what_settings_cannot_be_is_one_line(tmp_path, text, message):
    with pytest.raises(WotdError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: -5", "seed is -5, expected int >= 0"),
        ("seed: 99999999999999999999999", "expected int <= 4294967295"),
        ("codes: {epochs: -1}", "codes.epochs is -1, expected int >= 1"),
        ("codes: {learning_rate: .inf}", "codes.learning_rate is inf, expected float <= 1000000000.0"),
        ("codes: {learning_rate: .nan}", "codes.learning_rate is nan, expected float >= 0.0"),
        ("held_out: .nan", "held_out is nan, expected float"),
        ("codes: {levels: [8, 8, 8, 99999999999]}", "codes.levels[3] is 99999999999, expected int <= 16777216"),
        ("memory_limit: -8", "memory_limit is -8, expected int >= 1"),
        ("corpus: 2020-01-01", "corpus is datetime.date(2020, 1, 1), expected str"),
        ("cache: !!binary aGk=", "cache is b'hi', expected str"),
        ("attributes: {a: 1}", "attributes is {'a': 1}, expected a list"),
    ],
)
def test_numbers_out_of_range_and_other_types_are_named_with_their_key(tmp_path, text, message):
    raw = read(tmp_path, text)
    with pytest.raises(WotdError) as caught:
        checked(TrainingConfig, raw, "c.yaml")
    assert message in str(caught.value)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(MissingError, match="no file"):
        read_yaml(tmp_path / "absent.yaml")


@given(st.text("{}[]&*:<!-?|>ab1. \n\t'\"#%,", max_size=40))
def test_any_text_is_settings_or_one_line(tmp_path_factory, text):
    try:
        found: Any = read(tmp_path_factory.mktemp("yaml"), text)
    except WotdError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(found, dict)
