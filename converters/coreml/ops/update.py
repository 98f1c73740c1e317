"""A part of an array written anew, and slices whose start is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Node
from converters.coreml.ops.elementwise import typed
from converters.coreml.ops.index import _named, _numeric
from converters.coreml.ops.registry import Case, LoweringContext, booleans, given, integers, op
from converters.coreml.ops.shape import reshaped, spans
from converters.coreml.ops.widths import narrowed

_COMBINE = (mb.maximum, mb.minimum, mb.add, mb.mul)


def _slice_update(node: Node, x: mx.array, update: mx.array) -> mx.array:
    spots = np.ix_(*spans(node.args[-3:], x.shape))
    grid = tuple(mx.array(s) for s in spots)
    old, mode = x[grid], node.args[0]
    x = mx.array(x)
    x[grid] = (mx.maximum, mx.minimum, mx.add, mx.multiply, lambda _, n: n)[mode](old, update)
    return x


def _set(*spots: slice | int) -> Callable[[mx.array, mx.array], mx.array]:
    def write(x: mx.array, y: mx.array) -> mx.array:
        x[spots] = y
        return x

    return write


@op(
    "SliceUpdate",
    _slice_update,
    [
        Case("rows", _set(slice(1, 3)), [(4, 3), (2, 3)], ["concat"]),
        Case("inside", _set(slice(1, 3), slice(2, 4)), [(4, 5), (2, 2)]),
        Case("strided", _set(slice(None), slice(1, None, 2)), [(3, 5), (3, 2)]),
        Case("from_the_end", _set(slice(1, -1), slice(-4, -1)), [(4, 5), (2, 3)]),
        Case("reversed", _set(slice(None, None, -1)), [(3, 5), (3, 5)]),
        Case("reversed_from_the_end", _set(slice(3, -5, -1)), [(5, 4), (3, 4)]),
        Case("beyond", _set(slice(-9, 2), slice(9, -9, -2)), [(3, 5), (2, 3)]),
        Case("bytes", lambda x: x.at[:-1].add(x[1:]), [typed("uint8", 9)]),
        Case("product_of_bytes", lambda x: x.at[1:].multiply(x[:-1]), [typed("int8", 9)]),
        Case("whole", _set(slice(None)), [(3, 5), (3, 5)]),
        Case("add", lambda x, y: x.at[:, 1:3].add(y), [(3, 4), (3, 2)]),
        Case("maximum", lambda x, y: x.at[:, 1:3].maximum(y), [(3, 4), (3, 2)]),
        Case("minimum", lambda x, y: x.at[:, 1:3].minimum(y), [(3, 4), (3, 2)]),
        Case("product", lambda x, y: x.at[:, 1:3].multiply(y), [(3, 4), (3, 2)]),
        Case("integers", _set(slice(1, 3)), [integers(4), integers(2)]),
        Case("booleans", _set(slice(1, 3)), [booleans(4), booleans(2)]),
    ],
    note="concatenated from what stays and what is new",
)
def slice_update(ctx: LoweringContext, x: Var, update: Var) -> Var:
    found = spans(ctx.args[-3:], x.shape)
    x, update, mode = _numeric(x), _numeric(update), ctx.args[0]
    if mode < len(_COMBINE):
        old = x
        for axis, span in enumerate(found):
            old = _part(old, span, axis)
        update = narrowed(ctx, _COMBINE[mode](x=old, y=update))
    return _named(_written(x, update, found, 0), ctx)


def _part(x: Var, span: range, axis: int) -> Var:
    """x at ``span`` of one axis."""
    if span == range(x.shape[axis]):
        return x
    if span.step == 1:
        begin, end = [0] * x.rank, list(x.shape)
        begin[axis], end[axis] = span.start, span.stop
        return mb.slice_by_index(x=x, begin=begin, end=end)
    return mb.gather(x=x, indices=np.array(span, np.int32), axis=axis, validate_indices=False)


def _written(x: Var, update: Var, where: Sequence[range], axis: int) -> Var:
    """x with ``update`` at the spans of ``axis`` and those after it."""
    if not update.shape or math.prod(update.shape) == 0:
        return x
    while axis < len(where) and where[axis] == range(x.shape[axis]):
        axis += 1
    if axis == len(where):
        return update
    span = where[axis]
    inner = _written(_part(x, span, axis), update, where, axis + 1)
    if span.step != 1:
        index = np.array(span, np.int32)
        return mb.scatter(data=x, indices=index, updates=inner, axis=axis, mode="update", validate_indices=False)
    sides = [_part(x, range(span.start), axis) if span.start else None, inner]
    sides.append(_part(x, range(span.stop, x.shape[axis]), axis) if span.stop < x.shape[axis] else None)
    return mb.concat(values=[side for side in sides if side is not None], axis=axis)


@op(
    "DynamicSlice",
    lambda n, x, start: mx.slice(x, start, tuple(n.args[0]), tuple(n.args[1])),
    [
        Case("one", lambda x, i: mx.slice(x, i, (1,), (3, 2)), [(3, 5), given(2)], ["slice_by_size"]),
        Case("two", lambda x, i: mx.slice(x, i, (0, 2), (2, 4, 1)), [(3, 4, 5), given(1, 4)]),
        Case("constant", lambda x: mx.slice(x, mx.array([2]), (1,), (3, 2)), [(3, 5)]),
        Case("booleans", lambda x, i: mx.slice(x, i, (1,), (3, 2)), [booleans(3, 5), given(2)]),
    ],
)
def dynamic_slice(ctx: LoweringContext, x: Var, start: Var) -> Var:
    axes, sizes = ctx.args
    return mb.slice_by_size(x=x, begin=_begin(x.rank, axes, start), size=list(sizes), name=ctx.name)


def _begin(rank: int, axes: Sequence[int], start: Var) -> Var | list[int]:
    start = reshaped(start, (len(axes),))
    if start.val is not None:
        known = dict(zip(axes, np.asarray(start.val).tolist(), strict=True))
        return [known.get(axis, 0) for axis in range(rank)]
    if list(axes) == list(range(rank)):
        return start
    numbers = [np.zeros(1, np.int32)] * rank
    for position, axis in enumerate(axes):
        numbers[axis] = mb.slice_by_index(x=start, begin=[position], end=[position + 1])
    return mb.concat(values=numbers, axis=0)


@op(
    "DynamicSliceUpdate",
    lambda n, x, update, start: mx.slice_update(x, update, start, tuple(n.args[0])),
    [
        Case("one", lambda x, y, i: mx.slice_update(x, y, i, (1,)), [(3, 5), (3, 2), given(2)], ["scatter"]),
        Case("two", lambda x, y, i: mx.slice_update(x, y, i, (0, 2)), [(3, 4, 5), (2, 4, 1), given(1, 4)]),
        Case("corner", lambda x, y, i: mx.slice_update(x, y, i, (1,)), [(3, 4, 5), (2, 2, 5), given(1)]),
        Case("constant", lambda x, y: mx.slice_update(x, y, mx.array([2]), (1,)), [(3, 5), (3, 2)]),
    ],
)
def dynamic_slice_update(ctx: LoweringContext, x: Var, update: Var, start: Var) -> Var:
    (axes,) = ctx.args
    begin = _begin(x.rank, axes, start)
    if isinstance(begin, list):
        where = [range(b, b + n) for b, n in zip(begin, update.shape, strict=True)]
        return _named(_written(_numeric(x), _numeric(update), where, 0), ctx)
    starts = [
        mb.slice_by_index(x=begin, begin=[axis], end=[axis + 1]) if axis in axes else None for axis in range(x.rank)
    ]
    return _named(_moved_in(_numeric(x), _numeric(update), starts, 0), ctx)


def _moved_in(x: Var, update: Var, starts: Sequence[Var | None], axis: int) -> Var:
    """x with ``update`` from ``starts`` on, axis by axis."""
    while axis < x.rank and x.shape[axis] == update.shape[axis]:
        axis += 1
    if axis == x.rank:
        return update
    steps, start = np.arange(update.shape[axis], dtype=np.int32), starts[axis]
    index = steps if start is None else mb.add(x=start, y=steps)
    rest = mb.gather(x=x, indices=index, axis=axis, validate_indices=False)
    inner = _moved_in(rest, update, starts, axis + 1)
    return mb.scatter(data=x, indices=index, updates=inner, axis=axis, mode="update", validate_indices=False)


def _masked_scatter(node: Node, x: mx.array, mask: mx.array, source: mx.array) -> mx.array:
    batch = x.shape[0]
    flat = mask.reshape(batch, -1)
    position = mx.maximum(mx.cumsum(flat.astype(mx.int32), axis=1) - 1, 0)
    return mx.where(mask, mx.take_along_axis(source.reshape(batch, -1), position, axis=1).reshape(x.shape), x)


def _set_masked(x: mx.array, mask: mx.array, y: mx.array) -> mx.array:
    x[mask] = y
    return x


@op(
    "MaskedScatter",
    _masked_scatter,
    [
        Case("numbers", _set_masked, [(2, 3), booleans(2, 3), (6,)], ["cumsum"]),
        Case("one", lambda x, m: _set_masked(x, m, mx.array(2.0)), [(2, 3), booleans(2, 3)]),
    ],
    note="the n-th position that is True takes the n-th number: a running count picks it",
)
def masked_scatter(ctx: LoweringContext, x: Var, mask: Var, source: Var) -> Var:
    batch, size = x.shape[0], math.prod(x.shape[1:])
    count = mb.cumsum(x=reshaped(mb.cast(x=mask, dtype="int32"), (batch, size)), axis=1)
    position = mb.maximum(x=mb.sub(x=count, y=1), y=0)
    flat = reshaped(_numeric(source), (batch, math.prod(source.shape[1:])))
    picked = mb.gather_along_axis(x=flat, indices=position, axis=1, validate_indices=False)
    return _named(mb.select(cond=mask, a=reshaped(picked, tuple(x.shape)), b=_numeric(x)), ctx)
