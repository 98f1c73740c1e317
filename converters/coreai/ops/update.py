"""A part of an array written anew, and slices whose start is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.primitives.shape import spans

_COMBINE = (b.maximum, b.minimum, b.add, b.mul)


@lowers("SliceUpdate")
def slice_update(ctx: Context, x: Value, update: Value) -> Value:
    found, mode = spans(ctx.args[-3:], b.shape_of(x)), ctx.args[0]
    if mode < len(_COMBINE):
        update = _COMBINE[mode](b.part(x, found), update)
    return _written(x, update, found)


def _written(x: Value, update: Value, found: Sequence[range]) -> Value:
    """x with ``update`` at one span of each axis, which may count down."""
    if not all(found):
        return x
    backward = [axis for axis, span in enumerate(found) if span.step < 0]
    update = dialect.reverse(update, b.places(backward)) if backward else update
    found = [span[::-1] if span.step < 0 else span for span in found]
    begin, end, step = ([getattr(span, name) for span in found] for name in ("start", "stop", "step"))
    boolean = b.dtype_of(x) == np.bool_
    x, update = b.counted(x), b.counted(update)
    y = dialect.slice_update(x, b.places(begin), b.places(end), b.places(step), update)
    return b.truth(y) if boolean else y


def _begin(ctx: Context, operand: int, axes: Sequence[int], start: Value) -> dict[int, Value]:
    """Axis → where it starts (1,)."""
    start = b.cast(b.reshape(start, (len(axes),)), np.int32)
    return {axis: b.within(start, 0, n, n + 1) for n, axis in enumerate(axes)}


def _index(start: Value, size: int) -> Value:
    return b.add(start, np.arange(size))


@lowers("DynamicSlice")
def dynamic_slice(ctx: Context, x: Value, start: Value) -> Value:
    axes, lengths = ctx.args
    for axis, begin in _begin(ctx, 1, axes, start).items():
        x = b.taken(x, _index(begin, lengths[axis]), axis)
    return b.part(x, [range(n) for n in lengths])


@lowers("DynamicSliceUpdate")
def dynamic_slice_update(ctx: Context, x: Value, update: Value, start: Value) -> Value:
    (axes,) = ctx.args
    return _moved_in(x, update, _begin(ctx, 2, axes, start), 0)


def _moved_in(x: Value, update: Value, begin: dict[int, Value], axis: int) -> Value:
    """x with ``update`` from where each axis begins, axis by axis."""
    shape, new = b.shape_of(x), b.shape_of(update)
    while axis < len(shape) and shape[axis] == new[axis]:
        axis += 1
    if axis == len(shape):
        return update
    index = _index(begin[axis], new[axis]) if axis in begin else b.const(np.arange(new[axis]), np.int32)
    inner = _moved_in(b.taken(x, index, axis), update, begin, axis + 1)
    order = [axis, *(a for a in range(len(shape)) if a != axis)]
    y = dialect.scatter_nd(b.transpose(x, order), b.reshape(index, (new[axis], 1)), b.transpose(inner, order))
    return b.transpose(y, [order.index(a) for a in range(len(shape))])


@lowers("MaskedScatter", note="the n-th position that is True takes the n-th number: a running count picks it")
def masked_scatter(ctx: Context, x: Value, mask: Value, source: Value) -> Value:
    shape = b.shape_of(x)
    batch, size = shape[0], math.prod(shape[1:])
    ones = b.reshape(b.cast(mask, np.int32), (batch, size))
    count = dialect.scan(ones, b.const(1, np.uint32), b.const(False), "sum")
    flat = b.reshape(source, (batch, math.prod(b.shape_of(source)[1:])))
    picked = b.along(flat, b.maximum(b.sub(count, 1), 0), 1)
    return b.select(mask, b.reshape(picked, shape), x)
