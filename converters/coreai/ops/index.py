"""Reading and writing at indices that other arrays name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.graph import Array
from converters.primitives.index import AXES, AXIS_MODES, MODES


def from_start(ctx: Context, operand: int, index: Value, size: int) -> Value:
    """Indices as int32, those that count from the end from the start."""
    known, held = ctx.constants[operand], ctx.ranges[operand]
    if known is not None:
        whole = known.astype(np.int64)
        return b.const(np.where(whole < 0, whole + size, whole), np.int32)
    index = b.cast(b.counted(index), np.int32)
    if held is not None and held[0] >= 0:
        return index
    return b.select(b.less(index, 0), b.add(index, size), index)


class Starts(NamedTuple):
    """Where slices of an array start, as rows of the array with the named ``axes`` merged in front."""

    rows: Value
    """(M · W,): M indices, W numbers in the window of each."""
    axes: list[int]
    window: list[int]
    """Those of ``axes`` along which a slice has several numbers, but not all."""
    number: int
    """M."""


def _starts(ctx: Context, lengths: Sequence[int], indices: Sequence[Value]) -> Starts:
    shape, axes = ctx.sources[0].shape, list(ctx.args[AXES[ctx.node.op]])
    count = max((math.prod(b.shape_of(index)) for index in indices), default=1)
    window = [a for a, size in enumerate(lengths) if size != (1 if a in axes else shape[a])]
    merged = sorted({*axes, *window})
    fixed = np.zeros((count, *(lengths[a] for a in window)), np.int32)
    moving: list[Value] = []
    stride = 1
    for axis in reversed(merged):
        if axis in window:
            fixed = fixed + stride * _steps(lengths[axis], window.index(axis) + 1, fixed.ndim)
        if axis in axes:
            which = axes.index(axis)
            start = from_start(ctx, 1 + which, indices[which], shape[axis])
            start = b.reshape(start, (math.prod(b.shape_of(start)), *(1,) * len(window)))
            moving.append(b.mul(start, stride))
        stride *= shape[axis]
    rows = b.total([b.const(fixed, np.int32), *moving])
    return Starts(b.reshape(rows, (fixed.size,)), merged, window, count)


def _steps(size: int, axis: int, rank: int) -> Array:
    return np.arange(size).reshape([-1 if a == axis else 1 for a in range(rank)])


def _merged(x: Value, axes: Sequence[int]) -> Value:
    """x with ``axes`` in front, merged, and the rest merged behind: (P, R)."""
    shape = b.shape_of(x)
    rest = [a for a in range(len(shape)) if a not in axes]
    moved = b.transpose(x, [*axes, *rest])
    return b.reshape(moved, (math.prod(shape[a] for a in axes), math.prod(shape[a] for a in rest)))


@lowers("Gather", note="the indexed axes are merged, and their rows gathered by one index")
def gather(ctx: Context, x: Value, *indices: Value) -> Value:
    lengths, shape = ctx.args[1], b.shape_of(x)
    starts = _starts(ctx, lengths, indices)
    y = b.rows(_merged(x, starts.axes), starts.rows)
    if starts.window:
        # (M, window …, rest …) with the window's axes brought back between the others.
        kept = [*starts.window, *(a for a in range(len(shape)) if a not in starts.axes)]
        y = b.reshape(y, (starts.number, *(lengths[a] for a in kept)))
        y = b.transpose(y, [0, *(1 + kept.index(a) for a in sorted(kept))])
    return b.reshape(y, ctx.out.shape)


@lowers("Take")
def take(ctx: Context, x: Value, indices: Value) -> Value:
    (axis,) = ctx.args
    index = from_start(ctx, 1, indices, b.shape_of(x)[axis])
    return b.reshape(b.taken(x, b.reshape(index, (math.prod(b.shape_of(index)),)), axis), ctx.out.shape)


@lowers("GatherAxis")
def gather_axis(ctx: Context, x: Value, indices: Value) -> Value:
    axis = ctx.args[0] % b.rank(x)
    index = b.broadcast(from_start(ctx, 1, indices, b.shape_of(x)[axis]), ctx.out.shape)
    side = b.shape_of(x)[axis]
    x = b.broadcast(x, [side if a == axis else n for a, n in enumerate(ctx.out.shape)])
    return b.along(x, index, axis)


def combined(ctx: Context, mode: str, x: Value, indices: Value, updates: Value, axis: int) -> Value:
    """x with ``updates`` at ``indices`` of their own shape along an axis. Whole numbers are added in 64 bits: the
    runtime ends its process where a sum leaves its type."""
    kind = b.dtype_of(x)
    wide = kind.kind in "iu" and mode in ("add", "mul")
    if kind == np.bool_ or wide:
        x, updates = (b.cast(a, np.int64 if wide else np.uint8) for a in (x, updates))
    way = b.attribute("scatter_mode", mode)
    y = dialect.scatter_along_axis(x.type, x, indices, updates, b.const(axis, np.int32), way)
    if kind == np.bool_:
        return b.truth(y)
    return b.wrapped(y, kind) if wide else y


@lowers(
    "Scatter",
    note="where one index is set twice the last value stays; a largest or smallest passes NaN over, MLX keeps it",
)
def scatter(ctx: Context, x: Value, *rest: Value) -> Value:
    mode = MODES[ctx.args[0]]
    *indices, updates = rest
    shape = b.shape_of(x)
    lengths = ctx.args[2] if len(ctx.args) > 2 else b.shape_of(updates)[b.rank(indices[0]) :]
    starts = _starts(ctx, lengths, indices)
    kept = [a for a in range(len(shape)) if a in starts.window or a not in starts.axes]
    if starts.window:
        front = [*starts.window, *(a for a in kept if a not in starts.window)]
        updates = b.reshape(updates, (starts.number, *(lengths[a] for a in kept)))
        updates = b.transpose(updates, [0, *(1 + kept.index(a) for a in front)])
    data = _merged(x, starts.axes)
    many = (starts.number * math.prod(lengths[a] for a in starts.window), b.shape_of(data)[1])
    index = b.broadcast(b.reshape(starts.rows, (many[0], 1)), many)
    y = combined(ctx, mode, data, index, b.reshape(updates, many), 0)
    order = [*starts.axes, *(a for a in range(len(shape)) if a not in starts.axes)]
    y = b.reshape(y, [shape[a] for a in order])
    return b.transpose(y, [order.index(a) for a in range(len(shape))])


@lowers("ScatterAxis")
def scatter_axis(ctx: Context, x: Value, indices: Value, updates: Value) -> Value:
    mode, axis = ctx.args
    axis %= b.rank(x)
    index = from_start(ctx, 1, indices, b.shape_of(x)[axis])
    shape: Any = np.broadcast_shapes(b.shape_of(index), b.shape_of(updates))
    return combined(ctx, AXIS_MODES[mode], x, b.broadcast(index, shape), b.broadcast(updates, shape), axis)
