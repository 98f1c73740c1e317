"""Whole numbers above 2,048 in half precision: positions, ids, times, where float16 holds every second one only."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from converters import coreml
from converters.coreml.executor import load_package
from tests.tolerances import close

POSITIONS = mx.array([0, 1, 2047, 2049, 4097, 5001, 60001], mx.int32)
SMALL = mx.array([0, 1, 2, 3, 4, 5, 6], mx.int32)


def halves(fn, out, **inputs):
    """What a package of half precision, made from small positions, gives for large ones."""
    made = out / "m.mlpackage"
    coreml.convert(fn, {name: SMALL if name == "p" else array for name, array in inputs.items()}, made, "float16")
    return coreml.run(made, {name: np.array(array) for name, array in inputs.items()})["output"]


@pytest.mark.parametrize(
    "fn",
    [
        lambda p: mx.sin(p.astype(mx.float32)),
        lambda p: mx.cos(p.astype(mx.float32)[:, None] / mx.array([1.0, 10.0, 100.0])),
        lambda p: mx.remainder(p.astype(mx.float32), 7.0),
        lambda p: mx.clip(p.astype(mx.float32)[:, None] - p.astype(mx.float32)[None], -7.0, 7.0),
        lambda p: (p.astype(mx.float32) == 5001.0) * 1.0,
        lambda p: mx.sin(mx.concatenate([p, p + 1]).astype(mx.float32) * 0.5),
        lambda p: (p.astype(mx.float32) - 1).astype(mx.int32),
        lambda p: mx.exp(-mx.abs(p.astype(mx.float32) - 5000.0)),
    ],
    ids=["sine", "rotary", "remainder", "distance", "equal", "joined", "back", "decay"],
)
def test_positions_are_whole_until_they_are_small(fn, tmp_path):
    close(halves(fn, tmp_path, p=POSITIONS), np.array(fn(POSITIONS)), "half_function")


def test_rotated_by_positions(tmp_path):
    x = mx.array(np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32))

    def fn(x, p):
        angles = p.astype(mx.float32)[:, None] * mx.array([1.0, 0.01])
        cos, sin = mx.cos(angles), mx.sin(angles)
        a, b = x[:, :2], x[:, 2:]
        return mx.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

    close(halves(fn, tmp_path, x=x, p=POSITIONS), np.array(fn(x, POSITIONS)), "half_function")


def test_a_range_of_floats_is_counted_in_float32(tmp_path):
    def fn(x):
        return mx.sin(mx.arange(9000, dtype=mx.float32))[-4:] + x

    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.zeros(4)}, out, "float16")
    close(coreml.run(out, {"x": np.zeros(4, np.float32)})["output"], np.sin(np.arange(8996.0, 9000.0)), "half_function")


def test_a_mask_of_integers_costs_no_float32(tmp_path):
    """1 − mask, scaled, added to scores, and a mean by it: an error in 2,048 stays one, so the engine keeps it all."""

    def fn(x, mask):
        m = mask.astype(mx.float32)
        scores = mx.softmax(x + (1 - m) * -1e9, axis=-1)
        heads = mx.fast.scaled_dot_product_attention(
            *[x.reshape(2, 1, 8, 1)] * 3, scale=0.5, mask=((1 - m) * -1e9)[:, None, None]
        )
        return (scores * m).sum(-1) / mx.maximum(m.sum(-1), 1e-9) + heads.sum((1, 2, 3))

    out = tmp_path / "m.mlpackage"
    coreml.convert(fn, {"x": mx.random.normal((2, 8)), "mask": mx.array([[1] * 8, [1] * 5 + [0] * 3])}, out, "float16")
    wide = [
        op.type
        for op in load_package(out).operations
        if op.type not in ("const", "cast") and any(value.dtype == "fp32" for value in op.outputs)
    ]
    assert wide == []
