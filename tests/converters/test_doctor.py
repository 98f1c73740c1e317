"""The doctor on the smallest packages that have each finding, on their neighbours that have none, and on damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest
from click.testing import CliRunner
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import get_new_symbol, types
from coremltools.proto import Model_pb2
from mlx import nn

from converters import doctor
from converters.command import run
from converters.doctor import HEADINGS, Finding, examine
from converters.errors import ConversionError, PackageError
from converters.front import convert
from wotd_mlx.cli.program import main

needs_coreai = pytest.mark.skipif(find_spec("coreai") is None, reason="needs the extra `coreai`")
HALF, WHOLE = np.zeros((2, 3), np.float16), np.zeros((2, 3), np.float32)
UNBOUND = "nothing bounds what it reads; above 10.4 it may give 0"
WRONG = "devices answer wrongly without an error; cast to float32"
OPEN = "is known when it runs, and keeps what follows off the Neural Engine"
SWIFT = "Xcode makes Swift of it, whose names are letters, digits and _"


def ml(path, function, dtype=types.fp16, shape=(2, 3), function_name="main"):
    """A ``.mlpackage`` of one function of x, as it stands."""
    path = path / "made.mlpackage"
    spec = mb.TensorSpec(shape=shape, dtype=dtype)
    program = mb.program(input_specs=[spec], opset_version=ct.target.iOS18)(function)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    model.save(str(path))
    return path


def ai(path, function, dtype=np.float16, shape=(2, 3), given="x", returned="out"):
    """A ``.aimodel`` of one function of one input; None is an open side."""
    from converters.coreai import build as b

    # isort: split
    from coreai._compiler.ir import Location, RankedTensorType
    from coreai.authoring import AIProgram, Context, Module

    path = path / "made.aimodel"
    session = Context()
    with session, Location.unknown(session._mlir_context):
        module = Module.create()
        sides = [RankedTensorType.get_dynamic_size() if side is None else side for side in shape]
        with module:
            kinds = [b.tensor_type(sides, dtype)]
            graph = b.dialect.GraphOp(name="main", input_types=kinds, result_types=[], input_names=[given])
            with graph.block:
                graph.set_outputs_spec_from_dict(OrderedDict({returned: function(b, graph.arguments[0])}))
        AIProgram(module).save_asset(path)
    return path


def found(path):
    """Heading's key → what it is about and what is told."""
    keys = {heading: key for key, heading in HEADINGS.items()}
    return [(keys[finding.name], finding.about, finding.told) for finding in examine(path)]


def stable(x):
    """Of what isn't above zero."""
    return mb.softplus(x=mb.mul(x=mb.abs(x=x), y=np.float16(-1)), name="out")


def composed(x):
    return mb.log(x=mb.add(x=mb.exp(x=x), y=np.float16(1)), name="out")


def nested(x):
    cond = mb.greater(x=mb.reduce_max(x=x, axes=[0, 1], keep_dims=False), y=np.float16(0))
    return mb.cond(
        pred=cond, _true_fn=lambda: mb.softplus(x=x, name="inner"), _false_fn=lambda: mb.relu(x=x), name="out"
    )


CORE_ML = {
    "argmax": (lambda x: mb.reduce_argmax(x=x, axis=1, name="out"), [("argmax", "reduce_argmax out", WRONG)]),
    "argmin": (lambda x: mb.reduce_argmin(x=x, axis=1, name="out"), [("argmax", "reduce_argmin out", WRONG)]),
    "argmax of floats": (
        lambda x: mb.reduce_argmax(x=mb.cast(x=x, dtype="fp32"), axis=1, name="out"),
        [],
    ),
    "softplus": (lambda x: mb.softplus(x=x, name="out"), [("softplus", "softplus out", UNBOUND)]),
    "softplus of floats": (lambda x: mb.softplus(x=mb.cast(x=x, dtype="fp32"), name="out"), []),
    "softplus of a clip": (
        lambda x: mb.softplus(x=mb.clip(x=x, alpha=np.float16(-9), beta=np.float16(12)), name="out"),
        [("softplus", "softplus out", "it reads numbers up to 12; above 10.4 it may give 0")],
    ),
    "softplus of a small clip": (
        lambda x: mb.softplus(x=mb.clip(x=x, alpha=np.float16(-9), beta=np.float16(10)), name="out"),
        [],
    ),
    "softplus turned": (stable, []),
    "softplus of a sum": (
        lambda x: mb.softplus(x=mb.add(x=mb.sigmoid(x=x), y=np.float16([1, 10, 2])), name="out"),
        [("softplus", "softplus out", "it reads numbers up to 11; above 10.4 it may give 0")],
    ),
    "softplus of a small sum": (
        lambda x: mb.softplus(x=mb.add(x=mb.sigmoid(x=x), y=np.float16([1, 9, 2])), name="out"),
        [],
    ),
    "softplus composed": (composed, [("softplus", "log out", UNBOUND)]),
    "a logarithm alone": (lambda x: mb.log(x=mb.add(x=mb.square(x=x), y=np.float16(1)), name="out"), []),
    "a word of Swift": (
        lambda x: mb.relu(x=x, name="class"),
        [("name", "output 'class'", "it is a word of Swift's own, which Xcode makes of it")],
    ),
    "a fine name": (lambda x: mb.relu(x=x, name="Class_1"), []),
    "inside a branch": (nested, [("softplus", "softplus inner", UNBOUND)]),
}


@pytest.mark.parametrize("case", CORE_ML)
def test_core_ml(case, tmp_path):
    function, wanted = CORE_ML[case]
    assert found(ml(tmp_path, function)) == wanted


SOFT = {
    "parametric": (1.0, [("softplus", "softplus_parametric out", UNBOUND)]),
    "parametric turned": (0.0, []),
}


@pytest.mark.parametrize("case", SOFT)
def test_softplus_parametric(case, tmp_path):
    beta, wanted = SOFT[case]
    sides = np.full(3, beta, np.float16)
    function = lambda x: mb.softplus_parametric(x=x, alpha=np.ones(3, np.float16), beta=sides, name="out")  # noqa: E731
    assert found(ml(tmp_path, function, shape=(2, 3, 4))) == wanted


def test_core_ml_shapes(tmp_path):
    side = get_new_symbol()
    path = ml(tmp_path, lambda x: mb.relu(x=mb.square(x=x), name="out"), shape=(2, side))
    assert found(path) == [("open", "input x", f"its shape 2×? {OPEN}")]


def edited(path, change):
    """A saved ``.mlpackage`` whose model was changed by hand."""
    file = next(path.rglob("model.mlmodel"))
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    change(spec, block)
    file.write_bytes(spec.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("sides", "wanted"),
    [
        ((1, 2, 1, 3, 1), []),
        ((1, 2, 1, 3, 1, 1), [("axes", "relu out", "it has 6, and the Neural Engine takes 5 at most")]),
        ((2, 0), [("empty", "relu out", "its shape 2×0 holds no number, which devices don't compute")]),
    ],
)
def test_core_ml_axes_and_sides(sides, wanted, tmp_path):
    def change(spec, block):
        tensor = block.operations[-1].outputs[0].type.tensorType
        tensor.rank = len(sides)
        del tensor.dimensions[:]
        for side in sides:
            tensor.dimensions.add().constant.size = side

    assert found(edited(ml(tmp_path, lambda x: mb.relu(x=x, name="out")), change)) == wanted


def test_core_ml_names(tmp_path):
    def change(spec, block):
        block.operations[-1].outputs[0].name = block.outputs[0] = "a b\n" + "c" * 200

    ((key, about, told),) = found(edited(ml(tmp_path, lambda x: mb.relu(x=x, name="out")), change))
    assert (key, told) == ("name", SWIFT)
    assert about.startswith("output 'a b\\nccc")
    assert len(about) == 80
    assert about.endswith("c…")

    def reserved(spec, block):
        block.operations[-1].outputs[0].name = block.outputs[0] = "fp16"

    shutil.rmtree(tmp_path / "made.mlpackage")
    path = edited(ml(tmp_path, lambda x: mb.relu(x=x, name="out")), reserved)
    assert found(path) == [("name", "output 'fp16'", "it is a word of MIL, whose compiler refuses it")]


def test_functions_are_told_apart(tmp_path):
    def change(spec, block):
        spec.mlProgram.functions["second"].CopyFrom(spec.mlProgram.functions["main"])

    path = edited(ml(tmp_path, lambda x: mb.softplus(x=x, name="out")), change)
    assert found(path) == [
        ("softplus", "main, softplus out", UNBOUND),
        ("softplus", "second, softplus out", UNBOUND),
    ]


def test_large(tmp_path, monkeypatch):
    weight = np.zeros((3, 300), np.float16)
    path = ml(tmp_path, lambda x: mb.matmul(x=x, y=mb.const(val=weight, name="weight"), name="out"))
    assert found(path) == []
    # A file of zeros that takes no room on disk.
    with (path / "more.bin").open("wb") as file:
        file.truncate(doctor.LARGEST)
    assert found(path) == [("package", "made.mlpackage", "it holds 1.0 GiB, and iOS may refuse to load it")]
    (path / "more.bin").unlink()
    monkeypatch.setattr(doctor, "LARGEST", weight.nbytes)
    assert [f for f in found(path) if f[0] == "constant"] == []
    monkeypatch.setattr(doctor, "LARGEST", weight.nbytes - 1)
    told = "it holds 0.0 GiB, more than the Neural Engine takes on iOS"
    assert ("constant", "constant weight", told) in found(path)


def argmax(b, x):
    return b.dialect.argmax(x, b.const(1, np.int32))


def log_exp(b, x):
    return b.dialect.log(b.add(b.dialect.exp(x), 1))


CORE_AI = {
    "argmax": (argmax, {}, [("argmax", "argmax %1", WRONG)]),
    "argmax of floats": (argmax, {"dtype": np.float32}, []),
    "softplus": (log_exp, {}, [("softplus", "log %3", UNBOUND)]),
    "softplus of floats": (log_exp, {"dtype": np.float32}, []),
    "softplus turned": (lambda b, x: log_exp(b, b.mul(b.absolute(x), -1)), {}, []),
    "softplus of a minimum": (
        lambda b, x: log_exp(b, b.minimum(x, 11)),
        {},
        [("softplus", "log %5", "it reads numbers up to 11; above 10.4 it may give 0")],
    ),
    "softplus of a small minimum": (lambda b, x: log_exp(b, b.minimum(x, 10)), {}, []),
    "axes": (
        lambda b, x: b.dialect.relu(x),
        {"shape": (1, 1, 1, 1, 2, 3)},
        [
            ("axes", "input x", "it has 6, and the Neural Engine takes 5 at most"),
            ("axes", "relu %0", "it has 6, and the Neural Engine takes 5 at most"),
        ],
    ),
    "five axes": (lambda b, x: b.dialect.relu(x), {"shape": (1, 1, 1, 2, 3)}, []),
    "empty": (
        lambda b, x: b.dialect.relu(x),
        {"shape": (2, 0)},
        [
            ("empty", "input x", "its shape 2×0 holds no number, which devices don't compute"),
            ("empty", "relu %0", "its shape 2×0 holds no number, which devices don't compute"),
        ],
    ),
    "a list of no axes": (lambda b, x: b.reshape(x, ()), {"shape": (1,)}, []),
    "open": (lambda b, x: b.dialect.relu(x), {"shape": (2, None)}, [("open", "input x", f"its shape 2×? {OPEN}")]),
    "names": (
        lambda b, x: b.dialect.relu(x),
        {"given": "the x", "returned": "in"},
        [
            ("name", "input 'the x'", SWIFT),
            ("name", "output 'in'", "it is a word of Swift's own, which Xcode makes of it"),
        ],
    ),
    "a word of MIL": (lambda b, x: b.dialect.relu(x), {"given": "tensor"}, []),
    "wide": (
        lambda b, x: b.cast(argmax(b, x), np.int64),
        {"dtype": np.float32},
        [("wide", "cast %2", "int64 is sure to run on the CPU alone; cast it to int32")],
    ),
    "wide input": (
        lambda b, x: b.add(x, 1),
        {"dtype": np.int64},
        [
            ("wide", "input x", "int64 is sure to run on the CPU alone; cast it to int32"),
            ("wide", "constant %0", "int64 is sure to run on the CPU alone; cast it to int32"),
        ],
    ),
    "whole": (lambda b, x: b.add(x, 1), {"dtype": np.int32}, []),
}


@needs_coreai
@pytest.mark.parametrize("case", CORE_AI)
def test_core_ai(case, tmp_path):
    function, options, wanted = CORE_AI[case]
    assert found(ai(tmp_path, function, **options)) == wanted


@needs_coreai
def test_large_constant_of_core_ai(tmp_path, monkeypatch):
    path = ai(tmp_path, lambda b, x: b.add(x, np.arange(6, dtype=np.float16).reshape(2, 3)))
    monkeypatch.setattr(doctor, "LARGEST", 12)
    assert [f for f in found(path) if f[0] == "constant"] == []
    monkeypatch.setattr(doctor, "LARGEST", 11)
    told = "it holds 0.0 GiB, more than the Neural Engine takes on iOS"
    assert ("constant", "constant %0", told) in found(path)


class Encoder(nn.Module):
    """A vector, and the label that is nearest to it."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.attention, self.head = nn.MultiHeadAttention(16, 2), nn.Linear(16, 7)

    def __call__(self, ids):
        x = self.embed(ids)
        x = self.norm(x + nn.gelu(self.attention(x, x, x))).mean(axis=1)
        return {"vector": x, "label": mx.argmax(self.head(x), axis=-1)}


def test_nothing_is_found_in_our_own(package):
    encoder = Encoder()
    mx.eval(encoder.parameters())
    ids = mx.random.randint(0, 50, (1, 8))
    convert(encoder, {"ids": ids}, package, "float16", force=True)
    assert examine(package) == []


def test_commands(tmp_path, capsys):
    path = ml(tmp_path, lambda x: mb.softplus(x=x, name="out"))
    wanted = Finding(HEADINGS["softplus"], "softplus out", UNBOUND)
    line = f"{HEADINGS['softplus']}: softplus out: {UNBOUND}\n"
    assert examine(path) == [wanted]
    assert run(["doctor", str(path)]) == 1
    assert capsys.readouterr().out == line
    assert run(["doctor", str(path), "--json"]) == 1
    row = {"name": HEADINGS["softplus"], "about": "softplus out", "told": UNBOUND}
    assert json.loads(capsys.readouterr().out) == row
    told = CliRunner().invoke(main, ["export", "--doctor", str(path)])
    assert (told.exit_code, told.stdout) == (1, line)
    told = CliRunner().invoke(main, ["export", "--doctor", str(path), "--json"])
    assert (told.exit_code, json.loads(told.stdout)) == (1, row)
    shutil.rmtree(path)
    well = ml(tmp_path, lambda x: mb.relu(x=x, name="out"))
    assert run(["doctor", str(well)]) == 0
    assert capsys.readouterr().out == ""
    told = CliRunner().invoke(main, ["export", "--doctor", str(well)])
    assert (told.exit_code, told.output) == (0, "")


@pytest.mark.parametrize(
    ("argv", "says"), [([], "Missing argument 'text-encoder"), (["encoder"], "Missing option '--out'")]
)
def test_export_still_asks_for_what_it_needs(argv, says):
    told = CliRunner().invoke(main, ["export", *argv])
    assert told.exit_code == 2
    assert says in told.output


@pytest.fixture
def saved(package):
    """A package of each format with a finding in it."""
    if package.suffix == ".aimodel":
        return ai(package.parent, argmax)
    return ml(package.parent, lambda x: mb.reduce_argmax(x=x, axis=1, name="out"))


def refused(path):
    """What is said of a package that can't be read, by Python and by both commands: one line."""
    with pytest.raises((ConversionError, PackageError, FileNotFoundError, NotImplementedError)) as caught:
        examine(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    told = CliRunner().invoke(main, ["export", "--doctor", str(path)])
    assert told.exit_code == 1
    assert told.output == f"error: {caught.value}\n"
    return caught


def test_no_such_file(package):
    assert refused(package).type is FileNotFoundError


def test_no_package(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    assert refused(path).type is ConversionError


def test_nothing_inside(package):
    package.mkdir()
    assert refused(package).type is PackageError


def test_a_file_that_should_be_a_folder(package):
    package.write_bytes(b"no package")
    assert refused(package).type is PackageError


@needs_coreai
def test_another_version_of_core_ai(tmp_path):
    path = ai(tmp_path, argmax)
    file = path / "metadata.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "assetVersion": "99.0"}))
    assert refused(path).type is PackageError


def test_another_version_of_core_ml(tmp_path):
    def change(spec, block):
        spec.specificationVersion = 99

    path = edited(ml(tmp_path, lambda x: mb.relu(x=x, name="out")), change)
    assert "specification version 99; known versions of an ML program are 6 to 10" in str(refused(path).value)


def damaged(path):
    """What is said of a package that can't be read; None where it can, and its findings are lines."""
    try:
        assert all(str(finding).isprintable() for finding in examine(path))
    except (PackageError, FileNotFoundError, NotImplementedError) as error:
        return str(error)
    return None


@pytest.mark.timeout(300)
def test_damage_is_one_line(saved, tmp_path):
    """Cut short, or with bytes changed: an error or other findings, never the end of this process."""
    rng = np.random.default_rng(11)
    file = next(f for f in saved.rglob("*") if f.name in ("main.mlirb", "model.mlmodel"))
    whole = file.read_bytes()
    wanted = examine(saved)
    said = 0
    for seed in range(40):
        content = bytearray(whole)
        if seed % 4 == 0:
            del content[int(rng.integers(len(content))) :]
        else:
            for place in rng.integers(0, len(content), (0, 1, 3, 20)[seed % 4]):
                content[place] ^= int(rng.integers(1, 256))
        file.write_bytes(content)
        told = damaged(saved)
        said += told is not None
        assert told is None or (str(saved) in told and "\n" not in told)
    assert said > 10
    file.write_bytes(whole)
    assert examine(saved) == wanted != []


@needs_coreai
def test_a_package_without_an_end_is_given_up(saved, monkeypatch):
    """Read in no time at all: the other process is ended, and the next question has a new one."""
    from converters.coreai import runtime

    if saved.suffix != ".aimodel":
        pytest.skip("read in this process")
    monkeypatch.setattr(runtime, "READ_SECONDS", 0.0)
    runtime.WORKER.stop()
    with pytest.raises(PackageError, match="ended its process"):
        examine(saved)
    monkeypatch.undo()
    assert examine(saved) != []


def test_the_program_ends_well(saved):
    """Without pytest: no output of the runtime, no traceback."""
    argv = [sys.executable, "-m", "converters", "doctor", str(saved)]
    told = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert told.returncode == 1
    assert told.stderr == ""
    assert told.stdout.startswith(f"{HEADINGS['argmax']}: ")
    assert told.stdout.count("\n") == 1


def test_our_own_softplus_holds_large_numbers(package):
    """Mish has one inside; the Neural Engine's would be 0 from 10.4 on."""
    x = mx.array([[-20.0, -3.0, 0.0, 0.5, 9.0, 11.0, 15.0, 100.0]])
    assert convert(nn.mish, {"x": x}, package, "float16").psnr_db > 100
    assert examine(package) == []
