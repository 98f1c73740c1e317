"""Shapes and positions: what moves numbers and changes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.primitives.shape import positions, spans


@lowers("Reshape")
def reshape(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@lowers("Flatten")
def flatten(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@lowers("Unflatten")
def unflatten(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@lowers("Squeeze")
def squeeze(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


@lowers("ExpandDims")
def expand_dims(ctx: LoweringContext, x: Var) -> Var:
    return reshaped(x, ctx.out.shape, name=ctx.name)


def reshaped(x: Var, shape: tuple[int, ...], **name: str) -> Var:
    """x in another shape; down to a scalar by ``squeeze``, which alone gives rank 0."""
    if not shape:
        return mb.squeeze(x=x, **name) if x.rank else mb.identity(x=x, **name)
    if not x.rank:
        x = mb.expand_dims(x=x, axes=[0])
    return mb.reshape(x=x, shape=np.array(shape, np.int32), **name)


@lowers("Transpose")
def transpose(ctx: LoweringContext, x: Var) -> Var:
    return mb.transpose(x=x, perm=list(ctx.args[0]), name=ctx.name)


@lowers("Broadcast")
def broadcast(ctx: LoweringContext, x: Var) -> Var:
    shape = ctx.out.shape
    aligned = (1,) * (len(shape) - x.rank) + tuple(x.shape)
    reps = [want // have for want, have in zip(shape, aligned, strict=True)]
    return mb.tile(x=reshaped(x, aligned), reps=reps, name=ctx.name)


@lowers("Slice", emits={"ends": ["slice_by_index"]})
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


@lowers("Pick", emits={"row": ["slice_by_index"], "both_ends": ["slice_by_index"], "kept_ones": ["slice_by_index"]})
def pick(ctx: LoweringContext, x: Var) -> Var:
    mask = [axis in ctx.args[3] for axis in range(x.rank)]
    return mb.slice_by_index(x=x, **_bounds(ctx.args[:3], x), squeeze_mask=mask, name=ctx.name)


@lowers("Concatenate")
def concatenate(ctx: LoweringContext, *x: Var) -> Var:
    return mb.concat(values=x, axis=ctx.args[0], name=ctx.name)


@lowers("Split", emits={"equal": ["split"], "at": ["split"]})
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


@lowers("Pad", emits={"zeros": ["pad"], "value": ["pad"], "integers": ["concat"], "booleans": ["concat"]})
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


@lowers("AsStrided", emits={"windows": ["gather"], "grid": ["gather"]}, note="a gather at constant positions")
def as_strided(ctx: LoweringContext, x: Var) -> Var:
    places = positions(ctx.node).reshape(-1)
    # MIL gathers no booleans.
    flat = reshaped(mb.cast(x=x, dtype="int32") if x.dtype == types.bool else x, (-1,))
    y = reshaped(mb.gather(x=flat, indices=places, axis=0, validate_indices=False), ctx.out.shape)
    return mb.cast(x=y, dtype="bool", name=ctx.name) if x.dtype == types.bool else mb.identity(x=y, name=ctx.name)
