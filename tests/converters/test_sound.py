"""What was wrong silently: integers under half precision, modules that change, what no package may hold."""

from __future__ import annotations

import math

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb
from mlx import nn

from converters import coreml
from converters.coreml.backend import edge
from converters.coreml.executor import load_package
from converters.coreml.legal import check_legal
from tests.tolerances import close

MASK = mx.array([0, -mx.inf, -mx.inf, 0])
WIDE = np.array([128_000, -70_000, 2**30, 5], np.int32)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: mx.sort(x) + 0,
        lambda x: mx.take_along_axis(x, mx.argsort(x), axis=0),
        lambda x: x[mx.array([2, 0])],
        lambda x: mx.topk(x, 2),
        lambda x: mx.cummax(x) + 0,
        lambda x: mx.where(x > 7, x, x + 1),
    ],
)
def test_wide_integers_survive_half_precision(tmp_path, fn):
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.array([1, 2, 3, 4])}, out, precision="float16")
    assert coreml.run(out, {"x": WIDE})["output"].tolist() == np.array(fn(mx.array(WIDE))).tolist()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
@pytest.mark.parametrize("module", [nn.LayerNorm(8), nn.RMSNorm(8), nn.TransformerEncoder(1, 8, 2, 16)])
def test_weights_of_16_bits_convert(tmp_path, module, dtype):
    module.set_dtype(dtype)
    module.eval()
    mx.eval(module.parameters())
    x = mx.random.normal((1, 3, 8), key=mx.random.key(0)).astype(dtype)
    fn = (lambda x: module(x, None)) if isinstance(module, nn.TransformerEncoder) else module
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": x}, out, precision="float16", force=True)
    module.set_dtype(mx.float32)
    # bfloat16 has the coarser sum; both are held to what the same weights give in float32.
    close(coreml.run(out, {"x": x})["output"], edge(fn(x.astype(mx.float32))), "executor_half")


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_rounding_of_the_source_is_no_error_of_the_package(tmp_path, dtype):
    module = nn.Linear(8, 3)
    module.set_dtype(dtype)
    mx.eval(module.parameters())
    x = mx.random.normal((2, 8), key=mx.random.key(0)).astype(dtype)
    report = coreml.convert(lambda x: module(x) * 2.5, {"x": x}, tmp_path / "m.mlpackage")
    assert report.psnr_db["output"] > 120
    single = {"x": x.astype(mx.float32)}
    inner = coreml.convert(lambda x: (x.astype(dtype) * 2.5).astype(mx.float32), single, tmp_path / "n.mlpackage")
    assert inner.psnr_db["output"] > 120


@pytest.mark.parametrize(
    ("fn", "x", "want"),
    [
        (lambda x: mx.isinf(x) + 0, [1.0, math.inf, -math.inf, 3.0], [0, 1, 1, 0]),
        (lambda x: mx.where(x > 0, x, mx.inf).min(), [-1.0, -2.0, -1.0, -1.0], [math.inf]),
        (lambda x: mx.where(x > 0, x, -mx.inf).max(), [-1.0, 4.0, -1.0, -1.0], [4.0]),
        (lambda x: mx.concatenate([(s := mx.where(x > 0, x, -mx.inf)), mx.softmax(s)])[:1], [-1.0] * 4, [-math.inf]),
        (lambda x: mx.softmax(mx.where(x > 0, x, -mx.inf)), [1.0, -1.0, -1.0, 1.0], [0.5, 0, 0, 0.5]),
        (lambda x: mx.softmax(x + mx.array([0, -1e9, -mx.inf, 0])), [1.0, 1.0, 1.0, 1.0], [0.5, 0, 0, 0.5]),
        (lambda x: mx.softmax(x + MASK + MASK), [1.0, 1.0, 1.0, 1.0], [0.5, 0, 0, 0.5]),
    ],
)
def test_infinities_stay_where_they_are_no_mask(tmp_path, fn, x, want):
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.array([1.0, 2.0, 3.0, 4.0])}, out, precision="float16", force=True)
    close(coreml.run(out, {"x": np.array(x, np.float32)})["output"], np.array(want, np.float32), "executor_half")


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("factor", [100.0, -100.0, 0.0])
def test_scores_are_scaled_after_the_largest_is_taken_away(tmp_path, factor, scale):
    def fn(x):
        return mx.softmax(x * factor, axis=-1), mx.softmax(factor * x[None], axis=-1)

    x = mx.array([[1.0, 2.0, 3.0], [3.0, 2.99, -1.0]])
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": x}, out, precision="float16")
    got = coreml.run(out, {"x": np.array(x) * scale})
    for name, want in zip(("output_0", "output_1"), fn(x.astype(mx.float16).astype(mx.float32) * scale), strict=True):
        close(got[name], np.array(want), "executor_half")


@pytest.mark.parametrize("scale", [0.1, 1.0, 400.0, 1e4])
@pytest.mark.parametrize(
    "fn",
    [
        nn.RMSNorm(8),
        lambda x: mx.fast.rms_norm(x, None, 1e-5) * 2,
        lambda x: x / mx.sqrt((x * x).sum(-1, keepdims=True)),
        lambda x: x / mx.linalg.norm(x, axis=-1, keepdims=True),
        lambda x: x * mx.rsqrt(mx.mean(mx.square(x), axis=-1, keepdims=True) + 1e-6),
    ],
)
def test_squares_stay_within_half_precision(tmp_path, fn, scale):
    if isinstance(fn, nn.Module):
        mx.eval(fn.parameters())
    x = mx.array([[0.5, -1.0, 2.0, 1.0, -3.0, 0.25, 1.5, 2.5], [1.0] * 8])
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": x}, out, precision="float16")
    close(coreml.run(out, {"x": np.array(x) * scale})["output"], np.array(fn(x * scale)), "executor_half")


class Remembering(nn.Module):
    """What it computes once is an attribute first, and an entry of the module when it has become an array."""

    def __init__(self):
        super().__init__()
        self.weight, self._scale = mx.ones(4), None

    def __call__(self, x):
        if self._scale is None:
            self._scale = self.weight + 1
        return x * self._scale


def test_a_module_that_remembers_is_left_as_it_was(tmp_path):
    model = Remembering()
    mx.eval(model.parameters())
    coreml.convert(model, {"x": mx.array([[0.5, 1.0, -2.0, 4.0]])}, tmp_path / "m.mlpackage")
    assert model._scale is None
    close(np.array(model(mx.ones((1, 4)))), np.full((1, 4), 2.0), "exact")


def test_a_module_in_training_is_left_as_it_was(tmp_path):
    norm = nn.BatchNorm(4)
    mx.eval(norm.parameters())
    before = {name: np.array(value) for name, value in norm.state.items() if isinstance(value, mx.array)}
    x = mx.random.normal((3, 4), key=mx.random.key(0))
    coreml.convert(norm, {"x": x}, tmp_path / "m.mlpackage")
    assert before.keys() >= {"running_mean", "running_var"}
    for name, value in before.items():
        close(np.array(norm[name]), value, "exact")
    norm.eval()
    close(np.array(norm(x)), np.array(x) / math.sqrt(1 + norm.eps), "sum_order")


@pytest.mark.parametrize(
    ("fn", "want"),
    [
        (lambda x: x[:, :0] @ x[:, :0].T + x.sum(), np.full((3, 3), 12.0)),
        (lambda x: mx.array_equal(x[:0], x[:0]), [1]),
        (lambda x: mx.pad(x[:, -2:1], [(1, 1), (1, 1)]) + x[0, 0], np.ones((5, 2))),
        (lambda x: mx.split(x, [0, 1], axis=1)[0].sum() + x, np.ones((3, 4))),
    ],
)
def test_empty_arrays_inside_are_folded(tmp_path, fn, want):
    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.ones((3, 4))}, out)
    close(coreml.run(out, {"x": np.ones((3, 4), np.float32)})["output"], np.asarray(want), "exact")


def test_an_input_of_six_axes_is_refused(tmp_path):
    with pytest.raises(coreml.ConversionError, match=r"input x has shape \(1, 1, 1, 1, 2, 3\): a package takes 5"):
        coreml.convert(lambda x: x.reshape(6) * 2, {"x": mx.ones((1, 1, 1, 1, 2, 3))}, tmp_path / "m.mlpackage")
    assert list(tmp_path.iterdir()) == []


def test_what_no_package_may_hold_is_found_in_a_saved_one(tmp_path):
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 1, 3, 4))], opset_version=ct.target.iOS17)
    def program(x):
        y = mb.linear(x=x, weight=np.ones((5, 4), np.float32))
        return mb.slice_by_index(x=y, begin=[0, 0, 0, 0], end=[2, 1, 3, 2], name="out")

    path = tmp_path / "m.mlpackage"
    ct.convert(program, minimum_deployment_target=ct.target.iOS17, skip_model_load=True).save(str(path))
    with pytest.raises(coreml.ConversionError, match=r"linear .* reads rank 4; it takes 3"):
        check_legal(load_package(path))
