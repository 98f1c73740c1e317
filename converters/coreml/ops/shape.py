"""Shapes and positions: what moves numbers and changes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.graph import Node
from converters.coreml.ops.registry import Case, LoweringContext, booleans, integers, op


@op(
    "Reshape",
    lambda n, x: mx.reshape(x, n.out.shape),
    [Case("merge", lambda x: x.reshape(6, -1), [(2, 3, 4)]), Case("scalar", lambda x: x.reshape(()) + 1, [(1, 1)])],
)
def reshape(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@op("Flatten", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: mx.flatten(x, 1, 2), [(2, 3, 4)])])
def flatten(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@op("Unflatten", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: mx.unflatten(x, 1, (2, 3)), [(2, 6)])])
def unflatten(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@op("Squeeze", lambda n, x: mx.reshape(x, n.out.shape), [Case("one", lambda x: x.squeeze(1), [(2, 1, 4)])])
def squeeze(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@op("ExpandDims", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: x[:, None, :, None], [(2, 4)])])
def expand_dims(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


def reshaped(x: Var, shape: tuple[int, ...], **name: str) -> Var:
    """x in another shape; down to a scalar by ``squeeze``, which alone gives rank 0."""
    if not shape:
        return mb.squeeze(x=x, **name) if x.rank else mb.identity(x=x, **name)
    if not x.rank:
        x = mb.expand_dims(x=x, axes=[0])
    return mb.reshape(x=x, shape=np.array(shape, np.int32), **name)


@op("Transpose", lambda n, x: mx.transpose(x, n.args[0]), [Case("swap", lambda x: x.transpose(0, 2, 1), [(2, 3, 4)])])
def transpose(ctx: LoweringContext, x: Var) -> Var:
    return mb.transpose(x=x, perm=list(ctx.args[0]), name=ctx.name)


@op(
    "Broadcast",
    lambda n, x: mx.broadcast_to(x, n.out.shape),
    [Case("rows", lambda x: mx.broadcast_to(x, (3, 2, 4)), [(2, 1)])],
)
def broadcast(ctx: LoweringContext, x: Var) -> Var:
    shape = ctx.out.shape
    aligned = (1,) * (len(shape) - x.rank) + tuple(x.shape)
    reps = [want // have for want, have in zip(shape, aligned, strict=True)]
    return mb.tile(x=reshaped(x, aligned), reps=reps, name=ctx.name)


def spans(args: Sequence[Any], shape: Sequence[int]) -> list[range]:
    """The positions that a slice names, axis by axis: MLX gives starts as they are, and ends as they were written."""
    found = []
    for begin, end, stride, size in zip(*args, shape, strict=True):
        stop = end + size if end < 0 else end
        found.append(range(begin, max(stop, -1) if stride < 0 else min(max(stop, begin), size), stride))
    return found


def _sliced(x: mx.array, args: Sequence[Any]) -> mx.array:
    return x[tuple(slice(s.start, None if s.stop < 0 else s.stop, s.step) for s in spans(args, x.shape))]


@op(
    "Slice",
    lambda n, x: _sliced(x, n.args),
    [
        Case("ends", lambda x: x[:, 1:3, ::2], [(2, 4, 5)], ["slice_by_index"]),
        Case("from_the_end", lambda x: x[1:-1, :-2], [(4, 5)]),
        Case("reversed", lambda x: x[::-1, 1:], [(3, 4)]),
        Case("reversed_from_the_end", lambda x: x[3:-5:-1, -1:-4:-2], [(5, 4)]),
        Case("beyond", lambda x: x[-9:9, 9:-9:-1], [(3, 4)]),
    ],
)
def slice_(ctx: LoweringContext, x: Var) -> Var:
    return mb.slice_by_index(x=x, **_bounds(ctx.args, x), name=ctx.name)


def _bounds(args: Sequence[Any], x: Var) -> dict[str, list[Any]]:
    found = spans(args, x.shape)
    # Counting down to the first number ends before index 0, for which MIL has a mask only.
    return {
        "begin": [s.start for s in found],
        "end": [s.stop for s in found],
        "stride": [s.step for s in found],
        "end_mask": [s.stop < 0 for s in found],
    }


@op(
    "Pick",
    lambda n, x: _sliced(x, n.args[:3]).reshape(n.out.shape),
    [
        Case("row", lambda x: x[1] * 2, [(3, 4)], ["slice_by_index"]),
        Case("both_ends", lambda x: x[0, :, 2] * 2, [(2, 3, 4)], ["slice_by_index"]),
        Case("kept_ones", lambda x: x[1, None, 1:3] * 2, [(2, 3, 1)], ["slice_by_index"]),
    ],
)
def pick(ctx: LoweringContext, x: Var) -> Var:
    mask = [axis in ctx.args[3] for axis in range(x.rank)]
    return mb.slice_by_index(x=x, **_bounds(ctx.args[:3], x), squeeze_mask=mask, name=ctx.name)


@op(
    "Concatenate",
    lambda n, *x: mx.concatenate(list(x), n.args[0]),
    [Case("last", lambda x, y: mx.concatenate([x, y], -1), [(2, 3), (2, 4)])],
)
def concatenate(ctx: LoweringContext, *x: Var) -> Var:
    return mb.concat(values=x, axis=ctx.args[0], name=ctx.name)


@op(
    "Split",
    lambda n, x: mx.split(x, list(n.args[0]), n.args[1]),
    [
        Case("equal", lambda x: sum(mx.split(x, 3, axis=1)), [(2, 6)], ["split"]),
        Case("at", lambda x: mx.split(x, [1, 3], axis=0), [(5, 2)], ["split"]),
        Case("rolled", lambda x: mx.roll(x, 2, 1), [(2, 5)]),
    ],
)
def split(ctx: LoweringContext, x: Var) -> list[Var]:
    axis = ctx.args[1]
    made: list[Var] = []
    start = 0
    sizes = [t.shape[axis] for t in ctx.node.outputs]
    if all(sizes):
        return list(mb.split(x=x, split_sizes=sizes, axis=axis, name=ctx.name))
    for tensor, size in zip(ctx.node.outputs, sizes, strict=True):
        begin, end = [0] * x.rank, list(x.shape)
        begin[axis], end[axis] = start, start + size
        made.append(mb.slice_by_index(x=x, begin=begin, end=end, name=tensor.name))
        start += size
    return made


def _pad(node: Node, x: mx.array, value: mx.array) -> mx.array:
    axes, low, high = node.args
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, low, high, strict=True):
        widths[axis] = (before, after)
    return mx.pad(x, widths, constant_values=value)


@op(
    "Pad",
    _pad,
    [
        Case("zeros", lambda x: mx.pad(x, [(1, 2), (0, 3)]), [(2, 3)], ["pad"]),
        Case("value", lambda x: mx.pad(x, [(0, 0), (1, 1), (2, 0)], constant_values=-2.5), [(2, 3, 4)], ["pad"]),
        Case("variable", lambda x, v: mx.pad(x, [(1, 0), (0, 2)], constant_values=v), [(2, 3), ()]),
        Case("integers", lambda x: mx.pad(x, [(1, 2), (0, 3)], constant_values=7), [integers(2, 3)], ["concat"]),
        Case("booleans", lambda x: mx.pad(x, [(1, 2)], constant_values=True), [booleans(3)], ["concat"]),
    ],
)
def pad(ctx: LoweringContext, x: Var, value: Var) -> Var:
    axes, low, high = ctx.args
    # MIL pads floats alone, and with constants.
    if ctx.out.is_float and value.val is not None:
        widths = [0] * (2 * x.rank)
        for axis, before, after in zip(axes, low, high, strict=True):
            widths[2 * axis], widths[2 * axis + 1] = before, after
        return mb.pad(x=x, pad=widths, mode="constant", constant_val=float(value.val), name=ctx.name)
    for axis, before, after in zip(axes, low, high, strict=True):
        sides = [_filled(x, axis, before, value), x, _filled(x, axis, after, value)]
        if before or after:
            x = mb.concat(values=[side for side in sides if side is not None], axis=axis)
    return mb.identity(x=x, name=ctx.name)


def _filled(x: Var, axis: int, count: int, value: Var) -> Var | None:
    shape = [count if a == axis else n for a, n in enumerate(x.shape)]
    return mb.tile(x=reshaped(value, (1,) * x.rank), reps=shape) if count else None


def positions(node: Node) -> np.ndarray[Any, np.dtype[np.int32]]:
    shape, strides, offset = node.args
    found = np.full(shape, offset, np.int32)
    for axis, stride in enumerate(strides):
        found += stride * np.arange(shape[axis], dtype=np.int32).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
    return found


@op(
    "AsStrided",
    lambda n, x: x.reshape(-1)[mx.array(positions(n))],
    [
        Case("windows", lambda x: mx.as_strided(x, (4, 3), (1, 1), 0), [(6,)], ["gather"]),
        Case("grid", lambda x: mx.as_strided(x, (2, 2, 3), (8, 1, 2), 1), [(3, 8)], ["gather"]),
        Case("booleans", lambda x: mx.as_strided(x, (4, 3), (1, 1), 0), [booleans(6)]),
    ],
    note="a gather at constant positions",
)
def as_strided(ctx: LoweringContext, x: Var) -> Var:
    places = positions(ctx.node).reshape(-1)
    # MIL gathers no booleans.
    flat = reshaped(mb.cast(x=x, dtype="int32") if x.dtype == types.bool else x, (-1,))
    y = reshaped(mb.gather(x=flat, indices=places, axis=0, validate_indices=False), ctx.out.shape)
    return mb.cast(x=y, dtype="bool", name=ctx.name) if x.dtype == types.bool else mb.identity(x=y, name=ctx.name)
