"""Any public name converts: the package has one that Core ML takes, and keeps both."""

from __future__ import annotations

import re

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters import coreml
from converters.coreml.executor import load_package
from converters.names import METADATA, RESERVED, UNSIGNED, as_metadata, from_metadata, legal_names
from tests.tolerances import close

ODD = st.text(alphabet="ab_-. 01é", max_size=4) | st.sampled_from(sorted(RESERVED))


@given(st.lists(ODD, max_size=8))
def test_each_name_gets_one_of_its_own(public):
    found = legal_names(public)
    assert list(found) == list(dict.fromkeys(public))
    assert len(set(found.values())) == len(found)
    for name, own in found.items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", own)
        assert own not in RESERVED
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in RESERVED:
            assert own == name
    other = {own: name for name, own in found.items() if own != name}
    assert from_metadata(as_metadata(found, public)) == (other, frozenset(public))


def test_the_obvious_ones():
    names = ["last-hidden", "last_hidden", "0", "", "state", "a.b", "a b"]
    assert list(legal_names(names).values()) == ["last_hidden_1", "last_hidden", "_0", "_", "_state", "a_b", "a_b_1"]
    assert as_metadata(legal_names(["x", "y"])) == {}


def test_damaged_metadata_are_told():
    for key, text in ((METADATA, "{"), (METADATA, "[1]"), (METADATA, '{"a": 1}'), (UNSIGNED, "{}"), (UNSIGNED, "[1]")):
        with pytest.raises(ValueError, match=f"metadata {key} is .*expected JSON of names"):
            from_metadata({key: text})


def test_a_function_with_odd_names_is_converted_and_run(tmp_path):
    example = {name: mx.arange(3.0) + n for n, name in enumerate(("state", "x-y", "", "2", "func"))}

    def fn(**inputs: mx.array) -> dict[object, mx.array]:
        total = sum(inputs.values())
        return {0: total, "last-hidden": total * inputs["x-y"], "tensor": inputs["state"] - inputs[""]}

    out = tmp_path / "m.mlpackage"
    report = coreml.convert(fn, example, out, layers=True)
    assert set(report.psnr_db.keys()) == {"0", "last-hidden", "tensor"}
    got = coreml.run(out, example)
    for name, want in fn(**example).items():
        close(got[str(name)], want, "exact")
    package = load_package(out)
    assert {value.name for value in package.inputs} == {"_state", "x_y", "_", "_2", "_func"}
    assert {value.name for value in package.outputs} == {"_0", "last_hidden", "_tensor"}
    assert coreml.verify(out, fn, example).psnr_db["tensor"] == float("inf")
