"""The three calls that others rely on: convert, run, verify; gates, force, and files that are whole or not there."""

from __future__ import annotations

import math
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from converters import coreml, half
from converters.capture import capture
from converters.coreml import lower
from converters.coreml.executor import Executor, load_package
from converters.passes import run_passes
from tests.tolerances import close


def normal(*shape: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(scope="module")
def model():
    mx.random.seed(0)
    net = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 16))
    mx.eval(net.parameters())
    return lambda x: {"logits": net(x), "best": mx.argmax(net(x), axis=-1)}


X = {"x": normal(4, 32)}


@pytest.mark.parametrize(("precision", "floor"), [("float32", 90), ("float16", 50), ("int8", 35), ("palette6", 30)])
def test_report_is_about_the_saved_package(model, tmp_path, precision, floor):
    out = tmp_path / "m.mlpackage"
    report = coreml.convert(model, X, out=out, precision=precision, force=precision == "palette6")
    assert report.package == out
    assert report.psnr_db["logits"] >= floor
    got, want = coreml.run(out, X), model(**X)
    error = float(np.abs(got["logits"] - np.asarray(want["logits"])).max())
    assert math.isclose(report.max_abs_error["logits"], error, rel_tol=1e-6)
    assert float(report.psnr_db) == report.psnr_db["logits"]
    assert dict(report.psnr_db) == dict(report.psnr_db.items())
    assert list(report.psnr_db.values()) == [d.psnr_db for d in report.outputs.values()]
    again = coreml.verify(out, model, X)
    assert again.psnr_db["logits"] == report.psnr_db["logits"]
    assert again.outputs["best"].is_float is False


def test_precisions_are_ordered_in_size_and_error(model, tmp_path):
    net = nn.Linear(256, 256)
    mx.eval(net.parameters())
    example, sizes, errors = {"x": normal(2, 256)}, [], []
    for precision in ("float32", "float16", "int8", "palette6", "palette4"):
        out = tmp_path / f"{precision}.mlpackage"
        errors.append(coreml.convert(net, example, out, precision, force=True).max_abs_error)
        sizes.append(sum(f.stat().st_size for f in out.rglob("weight.bin")))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    # 65,536 weights: 4, 2, 1, 3/4 and 1/2 byte each, and little more.
    assert [round(size / 65536, 1) for size in sizes] == [4.0, 2.0, 1.0, 0.8, 0.5]


def test_outputs_of_every_form(tmp_path):
    example = {"x": normal(3), "flag": mx.array([True, False, True]), "n": mx.array([1, 2, 3], mx.uint8)}
    out = tmp_path / "m.mlpackage"
    report = coreml.convert(
        lambda x, flag, n: {"sum": x.sum(), "less": x < 0, "same": x, "kept": mx.where(flag, n, 0 * n)}, example, out
    )
    got = coreml.run(out, example)
    assert got["sum"].shape == (1,)
    close(got["sum"][0], np.asarray(example["x"]).sum(), "sum_order")
    assert got["less"].tolist() == (np.asarray(example["x"]) < 0).astype(int).tolist()
    assert got["kept"].tolist() == [1, 0, 3]
    close(got["same"], example["x"], "exact")
    assert report.codes_equal == 1
    assert {v.name: (v.dtype, v.shape) for v in load_package(out).inputs} == {
        "x": ("fp32", (3,)),
        "flag": ("int32", (3,)),
        "n": ("int32", (3,)),
    }


def test_psnr_is_what_its_name_says(tmp_path):
    """A package of x + 0.001 against x: the peak over an error of 0.001 everywhere."""
    example = {"x": mx.array([0.5, -4.0, 1.0])}
    coreml.convert(lambda x: x + 0.001, example, tmp_path / "m.mlpackage")
    report = coreml.verify(tmp_path / "m.mlpackage", lambda x: x + 0.0, example)
    assert report.psnr_db == pytest.approx(20 * math.log10(4 / 0.001), abs=0.01)
    assert report.max_abs_error == pytest.approx(0.001, rel=1e-3)


def test_several_examples_count_together(tmp_path):
    examples = [{"x": mx.array([float(n)])} for n in range(10)]
    report = coreml.convert(lambda x: (x * 2).astype(mx.int32), examples, tmp_path / "m.mlpackage")
    assert report.examples == 10
    wrong = coreml.verify(tmp_path / "m.mlpackage", lambda x: (x + 1).astype(mx.int32), examples)
    assert wrong.codes_equal == pytest.approx(0.1)  # 2x = x + 1 at 1 alone


def test_progress_counts_examples(tmp_path):
    seen = []
    coreml.convert(lambda x: x * 2, [X] * 5, tmp_path / "m.mlpackage", progress=seen.append)
    assert seen == [1] * 5


def test_below_the_gate_nothing_is_written_and_the_layer_is_named(tmp_path):
    """Numbers that cancel lose all their digits in float16: 2048 + x − 2048."""

    class Lossy(nn.Module):
        def __call__(self, x):
            return (x + 2048.0) - 2048.0

    net = nn.Sequential(nn.ReLU(), Lossy())
    with pytest.raises(coreml.GateError, match=r"float16 asks for 50.*in layers\.1\)") as caught:
        coreml.convert(net, X, tmp_path / "m.mlpackage", "float16")
    assert "output has" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    report = coreml.convert(net, X, tmp_path / "m.mlpackage", "float16", force=True)
    assert report.psnr_db < 50
    assert (tmp_path / "m.mlpackage").is_dir()


def test_codes_that_differ_are_refused(tmp_path):
    """Near scores swap places in float16: the IDs differ though no float output tells."""
    example = [{"x": normal(8, seed=n)} for n in range(20)]
    table = mx.linspace(-3, 3, 4000)

    def nearest(x):
        return mx.argmin(mx.abs(x[:, None] - table), axis=1)

    with pytest.raises(coreml.GateError, match=r"output is equal in .*% of rows; expected more than 99\.5%"):
        coreml.convert(nearest, example, tmp_path / "m.mlpackage", "float16")


def test_modules_kept_in_float32(tmp_path):
    class Search(nn.Module):
        def __call__(self, x):
            return mx.argmin(mx.abs(x[:, None] - mx.linspace(-3, 3, 4000)), axis=1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.search = Search()

        def __call__(self, x):
            return self.search(x), mx.exp(x)

    net, example = Net(), [{"x": normal(8, seed=n)} for n in range(20)]
    report = coreml.convert(net, example, tmp_path / "m.mlpackage", "float16", float32=("search",))
    assert report.codes_equal == 1
    dtypes = {o.type: o.outputs[0].dtype for o in Executor(tmp_path / "m.mlpackage").operations}
    assert (dtypes["exp"], dtypes["abs"]) == ("fp16", "fp32")


def test_layers_are_compared_by_name(model, tmp_path):
    coreml.convert(model, X, tmp_path / "m.mlpackage", "float16")
    report = coreml.verify(tmp_path / "m.mlpackage", model, X, layers=True)
    scopes = {d.scope for d in report.layers}
    assert {"layers.0", "layers.2", "layers.3"} <= scopes
    assert all(d.psnr_db > 50 for d in report.layers if d.is_float)
    assert report.worst_layer.psnr_db == min(d.psnr_db for d in report.layers if d.is_float)


def test_existing_output_is_kept(model, tmp_path):
    out = tmp_path / "m.mlpackage"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(coreml.ConversionError, match="exists"):
        coreml.convert(model, X, out)
    assert (out / "mine.txt").read_text() == "precious"
    coreml.convert(model, X, out, force=True)
    assert not (out / "mine.txt").exists()
    assert coreml.run(out, X)["logits"].shape == (4, 16)
    assert list(tmp_path.iterdir()) == [out]


def test_a_crash_leaves_nothing(model, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("converters.front._verified", broken)
    with pytest.raises(KeyboardInterrupt):
        coreml.convert(model, X, tmp_path / "m.mlpackage")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"out": "m.bin"}, r"ends in one of \.mlpackage, \.aimodel"),
        (
            {"precision": "float8"},
            "precision 'float8' is unknown to Core ML here; expected one of float32, float16, int8",
        ),
        ({"target": "iOS9"}, "target 'iOS9' is unknown.*iOS17"),
    ],
)
def test_wrong_arguments(model, tmp_path, change, says):
    options = {"out": "m.mlpackage"} | change
    with pytest.raises(coreml.ConversionError, match=says):
        coreml.convert(model, X, **(options | {"out": tmp_path / options["out"]}))


def test_names_that_clash(tmp_path):
    with pytest.raises(coreml.ConversionError, match="inputs and outputs share the names x"):
        coreml.convert(lambda x: {"x": x * 2}, X, tmp_path / "m.mlpackage")


def test_output_named_like_an_inner_operation(tmp_path):
    out = tmp_path / "m.mlpackage"
    report = coreml.convert(lambda x: {"cast_0": x * 2, "fn_multiply": x * 3, "const_1": x + 1}, X, out)
    assert set(coreml.run(out, X)) == {"cast_0", "fn_multiply", "const_1"}
    assert report.psnr_db > 90


def test_integers_beyond_int32(tmp_path):
    with pytest.raises(coreml.ConversionError, match="output output is int64 from 2,147,483,648 to"):
        coreml.convert(lambda x: x + mx.array([1 << 32]), {"x": mx.array([1])}, tmp_path / "m.mlpackage")


def test_constants_beyond_two_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(lower, "MAX_CONSTANT_BYTES", 1 << 20)
    big = normal(512, 513)
    with pytest.raises(coreml.ConversionError, match=r"GiB, and Core ML takes less than 2"):
        coreml.convert(lambda x: x @ big, {"x": normal(1, 512)}, tmp_path / "m.mlpackage")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_infinite_masks(precision, tmp_path):
    """A causal mask of −inf, added or chosen, stays harmless in float16."""
    mask = mx.where(mx.tri(4).astype(mx.bool_), 0.0, -mx.inf)

    def fn(x, keep):
        scores = x @ x.swapaxes(-1, -2) * 0.1
        return {"added": mx.softmax(scores + mask, -1), "chosen": mx.softmax(mx.where(keep, scores, -mx.inf), -1)}

    example = {"x": normal(2, 4, 8), "keep": mx.tri(4).astype(mx.bool_)}
    report = coreml.convert(fn, example, tmp_path / "m.mlpackage", precision)
    assert report.psnr_db >= {"float32": 90, "float16": 50}[precision]


def test_constants_beyond_float16_stay_finite(tmp_path):
    """−1e9 becomes −3e4, 1e9 the largest half, so do a mask's infinities; halves stay, and whole numbers."""
    ends = mx.array([-mx.inf, -1e9, -65504.0, -3.0, 65504.0, 1e9, mx.inf])
    graph = capture(lambda x: {"y": x + ends, "n": x.astype(mx.int32) + mx.array(100_000)}, {"x": mx.zeros((7,))})
    (changed,) = (array for array in half.finite(graph).constants.values() if array.size == 7)
    assert changed.tolist() == [-math.inf, -3e4, -65504, -3, 65504, 65504, math.inf]
    masked = run_passes(capture(lambda x: mx.softmax((x + ends)[None], axis=-1), {"x": mx.zeros((7,))}))
    (changed,) = (array for array in half.finite(masked).constants.values() if array.size == 7)
    assert changed.ravel().tolist() == [-3e4, -3e4, -65504, -3, 65504, 65504, 65504]
    (whole,) = (array for array in half.finite(graph).constants.values() if array.dtype == np.int32)
    assert whole.item() == 100_000
    for precision, low in (("float16", -np.inf), ("float32", -np.inf)):
        lower.save(run_passes(graph), tmp_path / f"{precision}.mlpackage", precision)
        made = Executor(tmp_path / f"{precision}.mlpackage")({"x": np.zeros(7, np.float32)})
        close(made["y"][0], np.float16(low), "exact")
        close(made["n"], np.full(7, 100_000), "ids")


def test_inputs_are_checked_all_at_once(model, tmp_path):
    coreml.convert(model, X, tmp_path / "m.mlpackage")
    with pytest.raises(ValueError, match="x") as caught:
        coreml.run(tmp_path / "m.mlpackage", {"x": np.zeros((5, 32)), "y": np.zeros(2)}, engine="reference")
    assert "(5, 32)" in str(caught.value)
    assert "y" in str(caught.value)


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is there on macOS")
def test_core_ml_is_never_replaced_in_silence(model, tmp_path):
    coreml.convert(model, X, tmp_path / "m.mlpackage")
    with pytest.raises(coreml.ConversionError, match="macOS only"):
        coreml.run(tmp_path / "m.mlpackage", X, engine="coreml")
    with pytest.raises(coreml.ConversionError, match="engine 'gpu' is unknown to Core ML"):
        coreml.run(tmp_path / "m.mlpackage", X, engine="gpu")
    assert coreml.verify(tmp_path / "m.mlpackage", model, X).engine == "reference"


@pytest.mark.parametrize("target", ["iOS17", "iOS18"])
def test_targets(model, tmp_path, target):
    def attend(x):
        return mx.fast.scaled_dot_product_attention(x, x, x, scale=0.3)

    report = coreml.convert(attend, {"x": normal(1, 2, 4, 8)}, tmp_path / "m.mlpackage", target=target)
    assert report.psnr_db >= 90
    whole = Executor(tmp_path / "m.mlpackage").op_counts()["scaled_dot_product_attention"]
    assert whole == (1 if target == "iOS18" else 0)


def test_nothing_is_left_where_the_system_keeps_temporary_files(tmp_path, monkeypatch):
    there = tmp_path / "system"
    there.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(there))
    coreml.convert(lambda x: {"y": x * 2}, {"x": mx.ones((1, 4))}, tmp_path / "m.mlpackage", "int8", force=True)
    assert list(there.iterdir()) == []
    assert {f.name for f in tmp_path.iterdir()} == {"system", "m.mlpackage"}


def test_two_conversions_of_one_function_are_equal_byte_by_byte(tmp_path):
    code = (
        "import sys, mlx.core as mx; from mlx import nn; from converters import coreml; mx.random.seed(0)\n"
        "model = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 8)); mx.eval(model.parameters())\n"
        "example = {'input': mx.random.normal((1, 64))}\n"
        "for precision in ('float32', 'palette4'):\n"
        "    out = f'{sys.argv[1]}/{precision}.mlpackage'\n"
        "    coreml.convert(lambda input: {'y': model(input)}, example, out, precision, force=True)"
    )
    found = []
    for name in ("a", "b"):  # in processes of their own, whose hashes differ
        folder = tmp_path / name
        folder.mkdir()
        subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True)
        found.append({str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()})
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_batch_norm_after_a_convolution_is_exact(tmp_path):
    """coremltools would give the product and the sum an epsilon of their own: 10⁻⁵ a layer, 113 dB here."""
    mx.random.seed(0)
    norms = [nn.BatchNorm(8), nn.BatchNorm(8)]
    for norm in norms:
        norm.bias, norm.running_mean = normal(8), normal(8, seed=1)
    convolutions = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)]
    model = nn.Sequential(convolutions[0], norms[0], nn.ReLU(), convolutions[1], norms[1], nn.ReLU(), convolutions[2])
    model.eval()
    mx.eval(model.parameters())
    report = coreml.convert(model, {"x": normal(1, 8, 8, 3)}, tmp_path / "m.mlpackage")
    assert report.psnr_db >= 125
    # The convolutions have taken them in.
    assert not {"batch_norm", "mul", "add"} & set(Executor(tmp_path / "m.mlpackage").op_counts())
