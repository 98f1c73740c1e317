"""Tensors of more than five axes, held in five or fewer: values as MLX has them, whatever is done to them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx import nn

from converters import coreml
from converters.capture import capture
from converters.coreml.executor import load_package
from converters.errors import ConversionError
from converters.graph import MAX_RANK, Graph
from converters.passes.ranks import narrow_ranks
from tests.converters.passes.graphs import chain, kept, normal, ops, passed

SIX = (2, 3, 2, 2, 3, 2)
KEYS = mx.array(np.random.default_rng(1).normal(size=(2, 1, 2, 1, 2, 4)).astype(np.float32))
FLAT = normal(144)
LINEAR = nn.Linear(2, 3)
mx.eval(LINEAR.parameters())


def widest(graph: Graph) -> int:
    return max(len(t.shape) for t in graph.tensors.values())


def window_partition(x):
    """(B, H, W, C) to windows of 2 × 2, as Swin and SAM have it."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 2, 2, c)


def pixel_shuffle(x):
    b, h, w, c = x.shape
    return x.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(b, h * 2, w * 2, c // 4)


def rotated(x):
    """Rotary positions as Flux writes them: pairs by a 2 × 2 matrix a position."""
    pairs = x.reshape(*x.shape[:-1], -1, 1, 2)
    turns = normal(1, 1, 6, 4, 2, 2, seed=3)
    return (turns[..., 0] * pairs[..., 0] + turns[..., 1] * pairs[..., 1]).reshape(x.shape)


@pytest.mark.parametrize(
    ("fn", "shape"),
    [
        (window_partition, (2, 6, 4, 3)),
        (pixel_shuffle, (2, 3, 4, 8)),
        (rotated, (1, 2, 6, 8)),
        (lambda x: x.reshape(2, 3, 2, 4, 2, 3).mean((2, 4)) * 2, (2, 6, 8, 3)),
        (lambda x: x.reshape(1, 1, 1, 2, 1, 3, 4).transpose(5, 0, 1, 2, 3, 6, 4).reshape(3, 2, 4) + 1, (2, 3, 4)),
    ],
    ids=["window_partition", "pixel_shuffle", "rotary_pairs", "patch_mean", "leading_ones"],
)
def test_axes_that_travel_together(fn, shape):
    assert widest(passed(fn, normal(*shape))) <= MAX_RANK


def test_a_window_partition_is_one_transpose_between_two_reshapes():
    assert ops(window_partition, normal(2, 6, 4, 3)) == {"Reshape": 2, "Transpose": 1}


def through(fn):
    """A function of six axes with edges of one."""
    return lambda x: mx.concatenate([y.reshape(-1).astype(mx.float32) for y in _many(fn(x.reshape(SIX)))])


def _many(made):
    return made if isinstance(made, list | tuple) else [made]


@pytest.mark.parametrize(
    "fn",
    [
        mx.exp,
        lambda x: x + KEYS.reshape(2, 1, 2, 1, 2, 4)[..., :1].transpose(0, 3, 2, 1, 5, 4),
        lambda x: x + KEYS[:, :, :, :, :1, :2] * 3.0,
        lambda x: mx.where(x > KEYS[..., :1, :2], x, 2.0),
        lambda x: mx.divmod(x, mx.array(0.7)),
        lambda x: x.astype(mx.int32) // 2,
        lambda x: x.transpose(5, 4, 3, 2, 1, 0),
        lambda x: x.transpose(5, 0, 3, 1, 4, 2) * 2,
        lambda x: x.sum((0, 2, 4)),
        lambda x: x.max((1, 3, 5), keepdims=True),
        lambda x: mx.any(x > 1.5, axis=(1, 3)),
        lambda x: x.reshape(1, *SIX).prod(0),
        lambda x: mx.mean(x, axis=-2, keepdims=True),
        lambda x: mx.var(x, axis=(1, 4)),
        lambda x: mx.softmax(x, axis=-1),
        lambda x: mx.softmax(x, axis=2),
        lambda x: mx.logsumexp(x, axis=(1, 2)),
        lambda x: mx.sort(x, axis=1),
        lambda x: mx.argsort(x, axis=-2),
        lambda x: mx.argmax(x, axis=1),
        lambda x: mx.cumsum(x, axis=4, reverse=True),
        lambda x: mx.sort(mx.partition(x, 1, axis=4)[..., :2, :], axis=4),
        lambda x: mx.take_along_axis(x, mx.argsort(x, axis=1), axis=1),
        lambda x: mx.take(x, mx.array([[2, -1], [0, 0]]), axis=1),
        lambda x: mx.concatenate([x, x[:, :1] * 2], axis=1),
        lambda x: mx.split(x, [1, 2], axis=4),
        lambda x: x[:, 1:, :, ::-1, -2:, 1],
        lambda x: x[:, 0],
        lambda x: x[1, :, None, 1, ..., 0],
        lambda x: mx.pad(x, [(0, 0), (1, 2), (0, 0), (0, 0), (0, 1), (0, 0)], constant_values=-1.0),
        lambda x: mx.as_strided(x, (2, 1, 2, 1, 3, 2), (5, 0, 7, 9, 1, 1), 2),
        lambda x: mx.matmul(x, KEYS),
        lambda x: mx.matmul(x, KEYS.reshape(2, 2, 2, 4)[:, :1]),
        LINEAR,
        nn.LayerNorm(2),
        nn.RMSNorm(2),
        lambda x: x / mx.linalg.norm(x, axis=-1, keepdims=True),
        nn.gelu,
        lambda x: mx.broadcast_to(x[:, :1, :, :1, :, :1], SIX),
        lambda x: mx.broadcast_to(x[:1, :, :1, :, :1, :, None], (4, 3, 3, 2, 5, 2, 2)),
        lambda x: mx.real(mx.fft.fft(x[..., 0], axis=-1)),
        lambda x: mx.repeat(x, 2, axis=3),
        lambda x: mx.tile(x, (1, 2, 1, 1, 1, 2)),
    ],
)
def test_operations_over_six_axes(fn):
    graph = passed(through(fn), FLAT)
    assert widest(graph) <= MAX_RANK


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 9).flatmap(lambda rank: st.tuples(st.permutations(range(rank)), st.integers(0, 2**20))))
def test_any_transpose(drawn):
    """Of axes of length 1, 2 and 3, of which a half may travel in one block or none."""
    order, seed = drawn
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 4, len(order)))
    size = int(np.prod(shape))
    moved = tuple(shape[axis] for axis in order)
    graph = chain(
        (size,),
        ("Reshape", shape, (shape,)),
        ("Transpose", moved, (tuple(order),)),
        ("Reshape", (size,), ((size,),)),
    )
    after = kept(graph, narrow_ranks, normal(size, seed=seed))
    assert widest(after) <= MAX_RANK


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20))
def test_any_broadcast_and_reduction(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(6, 9))
    shape = tuple(int(n) for n in rng.integers(1, 4, rank))
    other = tuple(n if keep else 1 for n, keep in zip(shape, rng.integers(0, 2, rank), strict=True))
    axes = tuple(np.flatnonzero(rng.integers(0, 2, rank)).tolist()) or (0,)

    def fn(x, y):
        return (x.reshape(shape) * y.reshape(other)).max(axes).reshape(-1)

    assert widest(passed(fn, normal(int(np.prod(shape))), normal(int(np.prod(other)), seed=1))) <= MAX_RANK


def test_few_axes_stay_as_they_are():
    graph = capture(lambda x: x.reshape(1, 2, 3, 1, 1).transpose(4, 3, 2, 1, 0), {"x": normal(6)})
    assert narrow_ranks(graph) is graph


@pytest.mark.parametrize(
    ("fn", "shape", "told"),
    [
        (lambda x: x.reshape(6) * 2, (1, 1, 1, 1, 2, 3), r"input a has shape \(1, 1, 1, 1, 2, 3\): a package takes 5"),
        (lambda x: x.reshape(1, 1, 1, 1, 2, 3) * 2, (6,), r"output output has shape \(1, 1, 1, 1, 2, 3\)"),
        (lambda x: mx.put_along_axis(x.reshape(SIX), mx.zeros(SIX, mx.int32), mx.array(1.0), 1).sum(), (144,), "axes"),
    ],
)
def test_what_is_refused_says_so(fn, shape, told):
    with pytest.raises(ConversionError, match=told):
        passed(fn, normal(*shape))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_package_holds_five_axes(tmp_path, precision):
    out = tmp_path / "m.mlpackage"
    report = coreml.convert(window_partition, {"x": normal(2, 6, 4, 3)}, out, precision)
    assert report.psnr_db > (60 if precision == "float16" else 300)
    assert max(len(v.shape or ()) for op in load_package(out).operations for v in op.outputs) == 4


def fill(x):
    """A Scatter of six axes of updates, at places along three axes."""
    made = x * 1.0
    made[:, :, mx.array([3, 5, 1])] = -7.0
    return made


def add(x, i, u):
    return (x * 1.0).at[:, i].add(u)


def test_updates_of_more_axes_than_what_they_are_written_into(tmp_path):
    out = tmp_path / "fill.mlpackage"
    assert coreml.convert(fill, {"x": normal(1, 8, 9)}, out).psnr_db > 300
    inputs = {"x": normal(2, 8, 3, 4), "i": mx.array([[1, 2], [3, 1]]), "u": normal(2, 2, 2, 3, 4)}
    assert coreml.convert(add, inputs, tmp_path / "add.mlpackage").psnr_db > 120
