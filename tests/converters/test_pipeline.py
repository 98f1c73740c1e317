"""coremltools' passes, each alone and all together, over large whole numbers and numbers that are not finite."""

from __future__ import annotations

import coremltools as ct
import mlx.core as mx
import numpy as np
import pytest

from converters.capture import capture
from converters.coreml import lower
from converters.coreml.pipeline import HALVING, PASSES, pipeline
from converters.front import runner
from converters.passes import run_passes
from converters.source import expected
from tests.tolerances import close

INF = float("inf")
TABLE = mx.arange(200_000, dtype=mx.int32)
TOKENS = mx.array([[128_000, 3, 199_999], [70_000, -1, 128_001]], mx.int32)
ORDER = mx.array([[2, 0, 1], [1, 2, 0]], mx.int32)
FLOATS = mx.array([[INF, -1.5, 1e-39], [-INF, 3e38, 2.5]])
KERNEL = mx.array(np.random.default_rng(0).normal(size=(2, 3, 1)).astype(np.float32))


def whole(tokens, order):
    """What moves and adds large whole numbers."""
    taken = mx.take_along_axis(tokens, order, axis=1)
    return {
        "gathered": TABLE[tokens],
        "along": taken,
        "sorted": mx.sort(tokens, axis=1),
        "first": mx.argmax(tokens, axis=1),
        "added": (tokens + 2**30) - order.T.reshape(2, 3),
        "chosen": mx.where(order > 0, tokens, -(2**31)),
        "joined": mx.concatenate([tokens, taken.transpose(1, 0).reshape(2, 3)], axis=0).reshape(3, 4),
        "remainder": tokens % 65_537,
        "scattered": mx.put_along_axis(mx.zeros((2, 3), mx.int32), order, tokens, axis=1),
    }


def strange(x):
    """What keeps infinities, and very small and large numbers."""
    return {
        "isinf": mx.isinf(x),
        "least": mx.minimum(mx.where(mx.isinf(x), x, INF), 7.0),
        "chosen": mx.where(x > 0, x, -INF),
        "replaced": mx.nan_to_num(x),
        "divided": x / mx.array([3.0, 1e-39, -1e38]),
        "relu": mx.maximum(mx.maximum(x, 0), 0),
        "leaky": mx.where(x >= 0, x, x * 0.25),
        "moved": x.transpose(1, 0).reshape(3, 2, 1).transpose(2, 1, 0),
        "soft": mx.softmax(mx.where(mx.isinf(x), x, mx.minimum(x, 9.0)), axis=0),
        "scaled": mx.conv1d(mx.where(mx.isinf(x), 1.0, x).reshape(2, 3, 1), KERNEL, padding=1) * 2.0 + 1.0,
        "most": mx.max(x, axis=1),
    }


def outputs(fn, names, folder, monkeypatch, precision="float32", **inputs):
    """What a package gives that these passes alone have seen, and what MLX gives."""
    monkeypatch.setattr(lower, "pipeline", lambda: ct.PassPipeline([f"common::{name}" for name in names], "some"))
    out = folder / "m.mlpackage"
    lower.save(run_passes(capture(fn, inputs)), out, precision)
    want = {name: array for name, (array, _) in expected(fn, inputs).items()}
    return runner(out)(inputs), want


@pytest.mark.parametrize("name", sorted({*PASSES} - {HALVING}))
def test_a_pass_keeps_every_number(name, tmp_path, monkeypatch):
    got, want = outputs(whole, [name], tmp_path, monkeypatch, tokens=TOKENS, order=ORDER)
    for key, array in want.items():
        np.testing.assert_array_equal(got[key], array, err_msg=key)
    (tmp_path / "m.mlpackage").rename(tmp_path / "whole.mlpackage")
    got, want = outputs(strange, [name], tmp_path, monkeypatch, x=FLOATS)
    for key, array in want.items():
        close(got[key], np.asarray(array), "functions")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_all_passes_keep_whole_numbers(precision, tmp_path, monkeypatch):
    got, want = outputs(whole, PASSES, tmp_path, monkeypatch, precision, tokens=TOKENS, order=ORDER)
    for key, array in want.items():
        np.testing.assert_array_equal(got[key], array, err_msg=key)


def test_what_is_left_out_would_be_wrong(tmp_path, monkeypatch):
    """The reason for a list of our own: these numbers under coremltools' whole pipeline in half precision."""
    names = [name.removeprefix("common::") for name in ct.PassPipeline.DEFAULT.passes]
    got, want = outputs(whole, names, tmp_path, monkeypatch, "float16", tokens=TOKENS, order=ORDER)
    assert any((got[key] != array).any() for key, array in want.items())


def test_the_list_is_what_runs():
    assert pipeline().passes == [f"common::{name}" for name in PASSES]
    assert not {"add_int16_cast", "divide_to_multiply", "select_optimization"} & set(PASSES)
