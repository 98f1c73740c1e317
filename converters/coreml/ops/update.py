"""A part of an array written anew, and slices whose start is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.index import _named, _numeric
from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import narrowed
from converters.primitives.shape import spans

_COMBINE = (mb.maximum, mb.minimum, mb.add, mb.mul)


@lowers("SliceUpdate", emits={"rows": ["concat"]}, note="concatenated from what stays and what is new")
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


@lowers("DynamicSlice", emits={"one": ["slice_by_size"]})
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


@lowers("DynamicSliceUpdate", emits={"one": ["scatter"]})
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


@lowers(
    "MaskedScatter",
    emits={"numbers": ["cumsum"]},
    note="the n-th position that is True takes the n-th number: a running count picks it",
)
def masked_scatter(ctx: LoweringContext, x: Var, mask: Var, source: Var) -> Var:
    batch, size = x.shape[0], math.prod(x.shape[1:])
    count = mb.cumsum(x=reshaped(mb.cast(x=mask, dtype="int32"), (batch, size)), axis=1)
    position = mb.maximum(x=mb.sub(x=count, y=1), y=0)
    flat = reshaped(_numeric(source), (batch, math.prod(source.shape[1:])))
    picked = mb.gather_along_axis(x=flat, indices=position, axis=1, validate_indices=False)
    return _named(mb.select(cond=mask, a=reshaped(picked, tuple(x.shape)), b=_numeric(x)), ctx)
