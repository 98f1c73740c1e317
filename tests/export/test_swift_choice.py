"""WOTDKit's choice between a bundle's packages, run on stand-ins for both frameworks that replay its fixtures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.export.test_swift import UNKNOWN, fixture, machine, stand_ins

__all__ = ["machine"]
pytestmark = stand_ins


@pytest.fixture
def both(bundle, tmp_path) -> Path:
    """The bundle with a package for Core AI as well, which the stand-in doesn't read."""
    out = tmp_path / "both"
    shutil.copytree(bundle, out)
    (out / "TextEncoder.aimodel").mkdir()
    (out / "TextEncoder.aimodel" / "main.mlirb").write_bytes(b"")
    told = json.loads((out / "manifest.json").read_text())
    [package] = told["packages"]
    inputs = [{**port, "dtype": "uint32" if port["name"] == "token_ids" else "int32"} for port in package["inputs"]]
    told["packages"].append({**package, "format": "coreai", "package": "TextEncoder.aimodel", "inputs": inputs})
    cases = json.loads((out / "fixtures.json").read_text())["cases"][:60:20]
    told["checks"] = [{name: case[name] for name in ("text", "tokens", "mask", "id", "vector")} for case in cases]
    (out / "manifest.json").write_text(json.dumps(told))
    return out


def test_core_ai_is_taken_where_it_is_there(machine, both):
    (found,) = machine.encode(both, UNKNOWN)
    assert found["id"] == fixture(both, UNKNOWN)["id"]
    assert (found["engine"], found["refused"]) == ("Core AI", [])
    # Three checks, and the text by both calls; Core ML's package isn't compiled.
    assert machine.calls() == ["specialize", *["run"] * 5]


@pytest.mark.parametrize(
    ("mode", "says", "calls"),
    [
        ("wrong", r'Core AI: ".+" has the ID \[.+\], expected \[.+\]', ["specialize", "run"]),
        ("broken", "Core AI: no fixture has these inputs", ["specialize", "run"]),
    ],
)
def test_core_ml_is_taken_where_core_ai_differs(machine, both, monkeypatch, mode, says, calls):
    monkeypatch.setenv("WOTD_AI", mode)
    (found,) = machine.encode(both, UNKNOWN)
    assert found["id"] == fixture(both, UNKNOWN)["id"]
    assert found["engine"] == "Core ML"
    [told] = found["refused"]
    assert re.fullmatch(says, told)
    assert machine.calls() == [*calls, "compile", "load", *["predict"] * 5]


def test_an_app_may_leave_a_package_out(machine, both):
    shutil.rmtree(both / "TextEncoder.aimodel")
    (found,) = machine.encode(both, UNKNOWN)
    assert found["engine"] == "Core ML"
    assert found["refused"] == [f"Core AI: {both} has neither TextEncoder.aimodel nor TextEncoder.aimodelc"]


def test_where_both_differ_the_error_says_how(machine, both, monkeypatch):
    monkeypatch.setenv("WOTD_AI", "wrong")
    told = json.loads((both / "manifest.json").read_text())
    told["checks"][0]["id"] = [0, 0, 0, 2047]
    (both / "manifest.json").write_text(json.dumps(told))
    process = machine.start(both)
    printed, errors = process.communicate("")
    assert (process.returncode, printed) == (1, "")
    wanted = (
        r'error: no package gives here .*: Core AI: ".+" has the ID .*; Core ML: ".+" has the ID .*\[0,0,0,2047\]\n'
    )
    assert re.fullmatch(wanted, errors)


def test_a_bundle_for_core_ml_alone_is_not_checked(machine, bundle):
    (found,) = machine.encode(bundle, UNKNOWN)
    assert (found["engine"], found["refused"]) == ("Core ML", [])
    assert machine.calls() == ["compile", "load", "predict", "predict"]
