"""The converter's own command line: what it makes is right, and what goes wrong is one line."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from contextlib import suppress

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters import coreml
from converters.command import run
from converters.subject import drawn

MODULE = """
import mlx.core as mx
from mlx import nn

def double(x):
    return mx.tanh(x) * 2

def energy(x):
    return mx.exp(-x.square() * 1e-9)

def mixed(ids, mask, t):
    return {"next": ids + 1, "kept": mx.where(mask, t, -t)}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 4)
        self.drop = nn.Dropout(0.5)

    def __call__(self, x):
        return self.drop(nn.relu(self.inner(x)))

    def half(self, x):
        return self.inner(x) / 2

net = Net()
number = 3
made = 0

def factory():
    global made
    made += 1
    return Net()

def broken():
    raise RuntimeError("no\\nweights")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with one module of functions; it is loaded anew for each test."""
    (tmp_path / "strange.py").write_text(MODULE)
    (tmp_path / "ending.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("strange", "ending"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_function_becomes_a_package_that_computes_it(folder, capsys):
    assert run(["strange:double", "--example", "x=2x3"]) == 0
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(coreml.run("double.mlpackage", {"x": x})["output"], np.tanh(x) * 2, atol=1e-6)
    said = capsys.readouterr().out
    assert said.startswith("double.mlpackage: ")
    assert "float32, iOS17" in said
    assert "output: " in said
    assert "not expected on the Neural Engine: 2 of 2 operations" in said


@pytest.mark.parametrize("name", ["Net", "net", "factory", "net.inner", "net.half"])
def test_modules_classes_factories_and_methods(folder, name):
    assert run([f"strange:{name}", "--example", "x=1x8", "--out", "m.mlpackage"]) == 0
    assert coreml.run("m.mlpackage", {"x": np.ones((1, 8), np.float32)})["output"].shape == (1, 4)


def test_factory_is_called_once(folder):
    assert run(["strange:factory", "--example", "x=1x8"]) == 0
    assert sys.modules["strange"].made == 1


def test_inputs_of_each_kind_keep_their_names_and_dtypes(folder, capsys):
    inputs = ("ids=2x3:int32:9", "mask=2x3:bool", "t=scalar:float16")
    assert run(["strange:mixed", *(part for i in inputs for part in ("--example", i))]) == 0
    mask = np.array([[1, 0, 1]] * 2)
    got = coreml.run("mixed.mlpackage", {"ids": np.full((2, 3), 4), "mask": mask, "t": np.float32(1.5)})
    np.testing.assert_array_equal(got["next"], np.full((2, 3), 5))
    np.testing.assert_array_equal(got["kept"], np.where(mask, 1.5, -1.5))
    assert "next: equal in 100.00% of rows" in capsys.readouterr().out


def test_examples_from_files_are_all_compared(folder, capsys):
    np.savez("a.npz", x=np.ones((2, 3)))
    mx.save_safetensors("b.safetensors", {"x": mx.full((2, 3), 0.5)})
    assert run(["strange:double", "--example-file", "a.npz", "--example-file", "b.safetensors"]) == 0
    assert coreml.run("double.mlpackage", {"x": np.zeros((2, 3))})["output"].max() == 0
    assert run(["verify", "double.mlpackage", "strange:double", "--example-file", "b.safetensors"]) == 0
    assert "output: " in capsys.readouterr().out


def test_options_reach_the_converter(folder, capsys):
    command = ["convert", "strange:net", "--example", "x=1x8", "--precision", "float16", "--target", "iOS18"]
    assert run([*command, "--float32", "inner", "--layers"]) == 0
    said = capsys.readouterr().out
    assert "net.mlpackage: " in said
    assert "float16, iOS18" in said
    assert "furthest from MLX inside:\n  " in said
    assert "linear ×1: it computes in float32" in said
    assert run(command) == 1
    assert capsys.readouterr().err.startswith("error: net.mlpackage exists; ")
    assert run([*command, "--force"]) == 0


def test_what_half_precision_does_not_hold_is_a_warning(folder, capsys):
    assert run(["strange:energy", "--example", "x=2x3", "--precision", "float16"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: on 1,000 times the example fn_square reaches ")


def test_verify_holds_a_package_to_a_gate(folder, capsys):
    assert run(["strange:double", "--example", "x=2x3", "--precision", "float16"]) == 0
    command = ["verify", "double.mlpackage", "strange:double", "--example", "x=2x3", "--layers"]
    assert run(command) == 0
    assert run([*command, "--precision", "float16"]) == 0
    capsys.readouterr()
    assert run([*command, "--precision", "float32"]) == 1
    assert "float32 asks for 90" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["strange"], 1, "expected MODULE:FUNCTION"),
        (["strange.py:double", "--example", "x=3"], 1, "expected MODULE:FUNCTION"),
        (["strange:", "--example", "x=3"], 1, "expected MODULE:FUNCTION"),
        (["nosuch:f", "--example", "x=3"], 1, "No module named 'nosuch'"),
        (["ending:f", "--example", "x=3"], 1, "ending can't be imported (SystemExit: 7)"),
        (["strange:nosuch", "--example", "x=3"], 1, "strange has no 'nosuch'"),
        (["strange:number", "--example", "x=3"], 1, "strange:number is int"),
        (["strange:broken", "--example", "x=3"], 1, "RuntimeError: no weights"),
        (["strange:double"], 1, "there is no example"),
        (["strange:double", "--example", "x"], 1, "'x' is no input; expected NAME=SHAPE"),
        (["strange:double", "--example", "x=3x"], 1, "'x=3x' is no input"),
        (["strange:double", "--example", "x=-3"], 1, "'x=-3' is no input"),
        (["strange:double", "--example", "x=0x3"], 1, "input x has 0 numbers"),
        (["strange:double", "--example", "x=99999x99999"], 1, "input x has 9999800001 numbers"),
        (["strange:double", "--example", "x=3:float8"], 1, "no dtype for an input"),
        (["strange:double", "--example", "x=3:float32:7"], 1, "no dtype for an input"),
        (["strange:double", "--example", "x=3:int8:500"], 1, "no such numbers lie below 500"),
        (["strange:double", "--example", "x=3", "--example", "x=3"], 1, "input x is given twice"),
        (["strange:double", "--example", "y=3"], 1, "unexpected keyword argument 'y'"),
        (["strange:net", "--example", "x=1x7"], 1, "must match second to last dimension"),
        (["strange:double", "--example", "x=3", "--precision", "double"], 1, "precision 'double' is unknown"),
        (["strange:double", "--example", "x=3", "--target", "iOS3"], 1, "target 'iOS3' is unknown"),
        (
            ["strange:double", "--example", "x=3", "--out", "model.zip"],
            1,
            "its name ends in one of .mlpackage, .aimodel",
        ),
        (["strange:double", "--example", "x=3", "--nosuch"], 2, "--nosuch"),
        (["strange:double", "more", "--example", "x=3"], 2, "more"),
        (["convert"], 2, "MODULE:FUNCTION"),
        (["strange:double", "--example-file", "nosuch.npz"], 1, "nosuch.npz is no file"),
        (["strange:double", "--example-file", "strange.py"], 1, "strange.py is no example"),
        (["strange:double", "--example-file", "torn.npz"], 1, "torn.npz can't be read"),
        (["strange:double", "--example-file", "torn.safetensors"], 1, "torn.safetensors can't be read"),
        (["strange:double", "--example-file", "empty.npz"], 1, "empty.npz holds no arrays"),
        (["verify", "nosuch.mlpackage", "strange:double", "--example", "x=3"], 1, "nosuch.mlpackage"),
        (["verify", "strange.py", "strange:double", "--example", "x=3"], 1, "strange.py"),
        (
            ["verify", "x.mlpackage", "strange:double", "--example", "x=3", "--precision", "p"],
            1,
            "precision 'p' is unknown",
        ),
        (["verify", "x.mlpackage", "strange:double", "--example", "x=3", "--engine", "e"], 1, "engine 'e' is unknown"),
    ],
)
def test_what_goes_wrong_is_one_line(args, code, words, folder, capsys):
    (folder / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    (folder / "torn.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0 torn")
    np.savez("empty.npz")
    before = set(folder.iterdir())
    assert run(args) == code
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1
    assert not out
    assert {path for path in folder.iterdir() if path.name != "__pycache__"} <= before


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[xé]=(scalar|\d{1,5}(x\d{1,5}){0,3})(:\w{1,8})?(:\d{1,12})?", fullmatch=True))
def test_any_input_is_drawn_or_refused(spec):
    # Small ones only: nothing is gained from drawing millions.
    if math.prod(int(side) for side in re.findall(r"\d+", spec.partition(":")[0])) > 1 << 16:
        return
    with suppress(coreml.ConversionError):
        (array,) = drawn([spec]).values()
        assert array.size > 0


@pytest.mark.parametrize(
    ("spec", "shape", "dtype"),
    [
        ("x=2x3", (2, 3), mx.float32),
        ("x=scalar", (), mx.float32),
        ("ids=1x8:int32:30000", (1, 8), mx.int32),
        ("ids=5:uint8:7", (5,), mx.uint8),
        ("m=4:bool", (4,), mx.bool_),
        ("h=1x1x2:bfloat16", (1, 1, 2), mx.bfloat16),
    ],
)
def test_inputs_are_drawn_as_asked(spec, shape, dtype):
    (array,) = drawn([spec]).values()
    assert (array.shape, array.dtype) == (shape, dtype)
    if ":int" in spec or ":uint" in spec:
        assert 0 <= array.min().item() <= array.max().item() < int(spec.rpartition(":")[2])


def test_refused_package_is_not_left_behind(folder, capsys):
    (folder / "rough.py").write_text("import mlx.core as mx\ndef f(x):\n    return mx.round(x * 1e4) - x * 1e4\n")
    assert run(["rough:f", "--example", "x=64", "--precision", "float16"]) == 1
    assert "too far from its source" in capsys.readouterr().err
    assert not (folder / "f.mlpackage").exists()


def test_program_as_it_is_called(folder):
    def called(*args):
        command = [sys.executable, "-m", "converters.coreml", *args]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = called("strange:double", "--example", "x=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "double.mlpackage: " in done.stdout
    wrong = called("strange:nosuch", "--example", "x=3")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1)
    helped = called()
    assert helped.returncode == 0
    assert "python -m converters models.small:encoder --example x=1x384" in helped.stdout
