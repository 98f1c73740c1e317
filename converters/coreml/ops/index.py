"""Reading and writing at indices that other arrays name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import narrowed
from converters.graph import Array
from converters.primitives.index import AXES, AXIS_MODES, MODES

Index: TypeAlias = Var | Array


_MOVERS = {
    *("identity", "reshape", "expand_dims", "squeeze", "tile", "transpose", "slice_by_index", "slice_by_size"),
    *("concat", "split", "gather", "gather_along_axis", "reverse", "cast"),
}


_KEEPERS = {"add", "mul", "maximum", "minimum", "floor_div", "reduce_sum", "reduce_max", "reduce_min", "cumsum"}


_COUNTERS = {"reduce_argmax", "reduce_argmin", "argsort", "shape", "non_zero"}


def wrapped(index: Var, size: int, dtype: str = "int32") -> Index:
    """Indices from 0 on: Core ML's are not defined below, MLX counts those from the end.

    Constants are wrapped here, and what can't be negative, by its dtype in MLX or by what made it, stays as it is.
    """
    if index.val is not None:
        array = np.asarray(index.val, np.int64)
        return np.where(array < 0, array + size, array).astype(np.int32)
    if index.dtype == types.bool:
        return mb.cast(x=index, dtype="int32")
    if dtype.startswith("uint") or _never_negative(index):
        return index
    return mb.select(cond=mb.less(x=index, y=0), a=mb.add(x=index, y=size), b=index)


def _never_negative(var: Var, depth: int = 12) -> bool:
    """Whether a variable's own operations show that it has no number below 0."""
    if var.val is not None:
        return bool(np.all(np.asarray(var.val) >= 0))
    made_by = var.op
    if made_by is None or not depth:
        return False
    kind = made_by.op_type
    if kind in _COUNTERS or var.dtype == types.bool or (kind == "topk" and var is made_by.outputs[1]):
        return True
    if kind in _MOVERS:
        values = made_by.inputs["values"] if "values" in made_by.inputs else [made_by.inputs["x"]]
        return all(_never_negative(value, depth - 1) for value in values)
    if kind in _KEEPERS:
        read = [made_by.inputs[name] for name in ("x", "y") if name in made_by.inputs]
        return all(_never_negative(value, depth - 1) for value in read)
    return False


class SliceStarts(NamedTuple):
    """Where slices of an array start, as rows of the array with the named ``axes`` merged in front."""

    rows: Index
    """(M · W,): M indices, W numbers in the window of each."""
    axes: list[int]
    window: list[int]
    """Those of ``axes`` along which a slice has several numbers, but not all."""
    number: int
    """M."""


def _slice_starts(ctx: LoweringContext, sizes: Sequence[int], indices: Sequence[Var]) -> SliceStarts:
    shape, axes = ctx.sources[0].shape, list(ctx.args[AXES[ctx.node.op]])
    count = max((int(np.prod(index.shape)) for index in indices), default=1)
    window = [a for a, size in enumerate(sizes) if size != (1 if a in axes else shape[a])]
    merged = sorted({*axes, *window})
    fixed = np.zeros((count, *(sizes[a] for a in window)), np.int32)
    moving: list[Var] = []
    stride = 1
    for axis in reversed(merged):
        if axis in window:
            steps = np.arange(sizes[axis]).reshape([-1 if a == axis else 1 for a in window])
            fixed = fixed + stride * steps
        if axis in axes:
            which = axes.index(axis)
            start = wrapped(indices[which], shape[axis], ctx.sources[1 + which].dtype)
            if isinstance(start, Var):
                start = reshaped(start, (math.prod(start.shape), *(1,) * len(window)))
                moving.append(start if stride == 1 else mb.mul(x=start, y=stride))
            else:
                fixed = fixed + stride * start.reshape(-1, *(1,) * len(window))
        stride *= shape[axis]
    fixed = fixed.astype(np.int32)
    rows: Index = fixed
    for part in moving:
        rows = part if isinstance(rows, np.ndarray) and not rows.any() else mb.add(x=part, y=rows)
    size = fixed.size
    if isinstance(rows, Var):
        # One start for a whole window was added as (1, 1 …): the sum above has the window's shape already, or its own.
        rows = rows if rows.shape == fixed.shape else mb.tile(x=rows, reps=_repeats(rows.shape, fixed.shape))
        return SliceStarts(reshaped(rows, (size,)), merged, window, count)
    return SliceStarts(rows.reshape(size), merged, window, count)


def _repeats(have: Sequence[int], want: Sequence[int]) -> list[int]:
    return [w // h for h, w in zip(have, want, strict=True)]


def _rows(x: Var, axes: Sequence[int]) -> Var:
    """x with ``axes`` in front, merged, and the rest merged behind: (P, R)."""
    rest = [a for a in range(x.rank) if a not in axes]
    order = [*axes, *rest]
    moved = x if order == sorted(order) else mb.transpose(x=x, perm=order)
    return reshaped(moved, (math.prod(x.shape[a] for a in axes), math.prod(x.shape[a] for a in rest)))


def _numeric(x: Var) -> Var:
    """MIL gathers and scatters no booleans."""
    return mb.cast(x=x, dtype="int32") if x.dtype == types.bool else x


def _named(y: Var, ctx: LoweringContext) -> Var:
    """The result under its node's name, a boolean again where it was one."""
    return mb.cast(x=y, dtype="bool", name=ctx.name) if ctx.out.dtype == "bool" else mb.identity(x=y, name=ctx.name)


@lowers(
    "Gather", emits={"two_axes": ["gather"]}, note="the indexed axes are merged, and their rows gathered by one index"
)
def gather(ctx: LoweringContext, x: Var, *indices: Var) -> Var:
    sizes = ctx.args[1]
    shape = tuple(x.shape)
    rows, merged, window, count = _slice_starts(ctx, sizes, indices)
    y = mb.gather(x=_rows(_numeric(x), merged), indices=rows, axis=0, validate_indices=False)
    if window:
        # (M, window …, rest …) with the window's axes brought back between the others.
        kept = [*window, *(a for a in range(len(shape)) if a not in merged)]
        y = reshaped(y, (count, *(sizes[a] for a in kept)))
        y = mb.transpose(x=y, perm=[0, *(1 + kept.index(a) for a in sorted(kept))])
    return _named(reshaped(y, ctx.out.shape), ctx)


@lowers(
    "Take", emits={"embedding": ["gather"], "rows": ["gather"], "quantised": ["gather"], "quantised_mxfp4": ["gather"]}
)
def take(ctx: LoweringContext, x: Var, indices: Var) -> Var:
    (axis,) = ctx.args
    index = wrapped(indices, x.shape[axis], ctx.sources[1].dtype)
    if isinstance(index, Var):
        index = index if index.rank else mb.expand_dims(x=index, axes=[0])
    else:
        index = index.reshape(-1) if index.ndim != 1 else index
    y = mb.gather(x=_numeric(x), indices=index, axis=axis, validate_indices=False)
    return _named(y if tuple(y.shape) == ctx.out.shape else reshaped(y, ctx.out.shape), ctx)


@lowers("GatherAxis", emits={"last": ["gather_along_axis"]})
def gather_axis(ctx: LoweringContext, x: Var, indices: Var) -> Var:
    (axis,) = ctx.args
    index = wrapped(indices, x.shape[axis], ctx.sources[1].dtype)
    return _named(mb.gather_along_axis(x=_numeric(x), indices=index, axis=axis, validate_indices=False), ctx)


def _combined(mode: int, old: mx.array, new: mx.array) -> mx.array:
    return (mx.maximum, mx.minimum, mx.add, mx.multiply, lambda _, n: n)[mode](old, new)


@lowers(
    "Scatter", emits={"set": ["scatter"]}, note="where one index is set twice, which value stays is Core ML's choice"
)
def scatter(ctx: LoweringContext, x: Var, *rest: Var) -> Var:
    mode = ctx.args[0]
    *indices, updates = rest
    shape = tuple(x.shape)
    sizes = ctx.args[2] if len(ctx.args) > 2 else updates.shape[indices[0].rank :]
    rows, merged, window, count = _slice_starts(ctx, sizes, indices)
    kept = [a for a in range(len(shape)) if a in window or a not in merged]
    updates = _numeric(updates)
    if window:
        front = [*window, *(a for a in kept if a not in window)]
        updates = reshaped(updates, (count, *(sizes[a] for a in kept)))
        updates = mb.transpose(x=updates, perm=[0, *(1 + kept.index(a) for a in front)])
    data = _rows(_numeric(x), merged)
    updates = reshaped(updates, (count * math.prod(sizes[a] for a in window), data.shape[1]))
    y = mb.scatter(data=data, indices=rows, updates=updates, axis=0, mode=MODES[mode], validate_indices=False)
    if MODES[mode] in ("add", "mul"):
        y = narrowed(ctx, y)
    order = [*merged, *(a for a in range(len(shape)) if a not in merged)]
    y = reshaped(y, tuple(shape[a] for a in order))
    if order != sorted(order):
        y = mb.transpose(x=y, perm=[order.index(a) for a in range(len(shape))])
    return _named(y, ctx)


@lowers("ScatterAxis", emits={"moving": ["scatter_along_axis"], "add": ["scatter_along_axis"]})
def scatter_axis(ctx: LoweringContext, x: Var, indices: Var, updates: Var) -> Var:
    mode, axis = ctx.args
    y = mb.scatter_along_axis(
        data=_numeric(x),
        indices=wrapped(indices, x.shape[axis], ctx.sources[1].dtype),
        updates=_numeric(updates),
        axis=axis,
        mode=AXIS_MODES[mode],
        validate_indices=False,
    )
    return _named(narrowed(ctx, y) if AXIS_MODES[mode] == "add" else y, ctx)
