"""Reading and writing at indices that other arrays name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from mlx import nn

from converters.coreml.graph import Array, Node
from converters.coreml.ops.elementwise import typed
from converters.coreml.ops.registry import Case, LoweringContext, booleans, given, integers, op
from converters.coreml.ops.shape import reshaped
from converters.coreml.ops.widths import narrowed

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


AXES = {"Gather": 0, "Scatter": 1}
"""Where their arguments have the indexed axes."""


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


def _gather(node: Node, x: mx.array, *indices: mx.array) -> mx.array:
    axes, sizes = node.args
    starts = [i.astype(mx.int32) if i.dtype == mx.bool_ else i for i in indices]
    rank, batch = len(sizes), starts[0].shape if starts else ()
    grid: list[Any] = []
    for axis, size in enumerate(sizes):
        steps = mx.arange(size).reshape([-1 if a == axis else 1 for a in range(rank)])
        if axis not in axes:
            grid.append(steps)
            continue
        start = starts[list(axes).index(axis)].astype(mx.int64)
        start = mx.where(start < 0, start + x.shape[axis], start)
        grid.append(start.reshape(*batch, *(1,) * rank) + steps)
    return x[tuple(grid)].reshape(node.out.shape)


@op(
    "Gather",
    _gather,
    [
        Case("first_axis", lambda x, i: x[i][..., 0] + 1, [(3, 4), given(2, 0)]),
        Case("two_axes", lambda x, i, j: x[i, :, j], [(3, 4, 5), given(2, -1), given(0, 4)], ["gather"]),
        Case("broadcast", lambda x, i: x[i[:, None], i], [(3, 4, 5), given(0, -2)]),
        Case("all_axes", lambda x, i: x[:, i, i], [(3, 4, 5), given(-1, 2)]),
        Case("constant", lambda x: x[mx.array([0, -1]), :, mx.array([1, 2])], [(3, 4, 5)]),
        Case("booleans", lambda x, i: x[i, i], [booleans(3, 4), given(2, -1)]),
        Case("integers", lambda x, i: x[i, i], [integers(3, 4), given(2, -1)]),
        Case("argmax", lambda x: x[mx.arange(3), mx.argmax(x, axis=1)], [(3, 4)]),
    ],
    note="the indexed axes are merged, and their rows gathered by one index",
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


@cache
def _table(bits: int, mode: str) -> nn.QuantizedEmbedding:
    made = nn.QuantizedEmbedding(4, 64, 32, bits, mode=mode)
    parts = mx.quantize(mx.sin(mx.arange(256.0)).reshape(4, 64), 32, bits, mode=mode)
    made.weight, made.scales = parts[:2]
    if len(parts) > 2:
        made.biases = parts[2]
    mx.eval(made.parameters())
    return made


def _rows_of(bits: int, mode: str) -> Callable[[mx.array], mx.array]:
    # Multiplied, so that rows in bfloat16 come out as float32.
    return lambda i: _table(bits, mode)(i) * mx.array(2.0)


@op(
    "Take",
    lambda n, x, i: mx.take(x, i, axis=n.args[0]),
    [
        Case("embedding", lambda i: mx.arange(12.0).reshape(4, 3)[i], [given(3, 0, -1)], ["gather"]),
        Case("rows", lambda x, i: x[i], [(4, 3), integers(2, 2, low=-4, high=4)], ["gather"]),
        Case("last_axis", lambda x, i: mx.take(x, i, axis=-1), [(2, 3, 5), integers(2, 2, low=-5, high=5)]),
        Case("middle_axis", lambda x, i: mx.take(x, i, axis=1), [(2, 3, 5), given(1, -1)]),
        Case("scalar", lambda x, i: mx.take(x, i.reshape(()), axis=1), [(2, 3, 5), given(-1)]),
        Case("constant", lambda x: mx.take(x, mx.array([2, -1]), axis=1), [(2, 3, 5)]),
        Case("flat", mx.take, [(2, 3), given(5, -1)]),
        Case("integers", lambda x, i: x[i], [integers(4), given(3, -1)]),
        Case("quantised", _rows_of(8, "affine"), [given(3, 0)], ["gather"]),
        Case("quantised_mxfp4", _rows_of(4, "mxfp4"), [given(3, 0)], ["gather"]),
    ],
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


@op(
    "GatherAxis",
    lambda n, x, i: mx.take_along_axis(x, i, axis=n.args[0]),
    [
        Case(
            "last",
            lambda x, i: mx.take_along_axis(x, i, axis=-1),
            [(2, 4), integers(2, 3, low=-4, high=4)],
            ["gather_along_axis"],
        ),
        Case("first", lambda x, i: mx.take_along_axis(x, i, axis=0), [(4, 2, 3), integers(1, 2, 3, low=-4, high=4)]),
        Case("broadcast", lambda x, i: mx.take_along_axis(x, i, axis=1), [(3, 4, 2), integers(1, 5, 1, low=0, high=4)]),
    ],
)
def gather_axis(ctx: LoweringContext, x: Var, indices: Var) -> Var:
    (axis,) = ctx.args
    index = wrapped(indices, x.shape[axis], ctx.sources[1].dtype)
    return _named(mb.gather_along_axis(x=_numeric(x), indices=index, axis=axis, validate_indices=False), ctx)


MODES = ("max", "min", "add", "mul", "update")
"""MLX tells how a scatter combines by the number."""


def _combined(mode: int, old: mx.array, new: mx.array) -> mx.array:
    return (mx.maximum, mx.minimum, mx.add, mx.multiply, lambda _, n: n)[mode](old, new)


def _scatter(node: Node, x: mx.array, *rest: mx.array) -> mx.array:
    mode, axes = node.args[:2]
    *indices, updates = rest
    sizes = node.args[2] if len(node.args) > 2 else updates.shape[indices[0].ndim :]
    updates = updates.reshape(*indices[0].shape, *sizes)
    numbers = np.array(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)
    values = np.array(updates.astype(mx.float32) if updates.dtype == mx.bfloat16 else updates)
    starts = [np.array(i).astype(np.int64).reshape(-1) for i in indices]
    combine = (np.maximum, np.minimum, np.add, np.multiply, lambda _, new: new)[mode]
    for row, value in enumerate(values.reshape(-1, *sizes)):
        begin = [0] * numbers.ndim
        for axis, start in zip(axes, starts, strict=True):
            begin[axis] = start[row] + (numbers.shape[axis] if start[row] < 0 else 0)
        spot = tuple(slice(b, b + s) for b, s in zip(begin, sizes, strict=True))
        numbers[spot] = combine(numbers[spot], value)
    return mx.array(numbers)


def _set(x: mx.array, i: mx.array, values: mx.array) -> mx.array:
    x[i] = values
    return x


def _set_window(x: mx.array, i: mx.array) -> mx.array:
    return x.at[i, 1:3].add(2.0)


@op(
    "Scatter",
    _scatter,
    [
        Case("set", _set, [(3, 4), given(2, -3), (2, 4)], ["scatter"]),
        Case("add", lambda x, i, y: x.at[i].add(y), [(3, 4), given(2, 2, -1), (3, 4)]),
        Case("subtract", lambda x, i, y: x.at[:, i].subtract(y), [(3, 4), given(2, -1), (3, 2)]),
        Case("max", lambda x, i, y: x.at[i].maximum(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("min", lambda x, i, y: x.at[i].minimum(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("product", lambda x, i, y: x.at[i].multiply(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("two_axes", lambda x, i, y: x.at[i, :, i].add(y), [(3, 4, 5), given(0, -1), (2, 4)]),
        Case("window", _set_window, [(3, 4, 5), given(0, -1)]),
        Case("integers", lambda x, i: x.at[i].add(3), [integers(4), given(0, -1)]),
        Case("bytes", lambda x, i: x.at[i].add(x[:2]), [typed("uint8", 9), given(0, 0)]),
        Case("product_of_bytes", lambda x, i: x.at[i].multiply(x[:2]), [typed("int8", 9), given(0, -1)]),
        Case("diagonal", mx.diag, [(4,)]),
    ],
    note="where one index is set twice, which value stays is Core ML's choice",
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


AXIS_MODES = ("add", "update")


def _scatter_axis(node: Node, x: mx.array, indices: mx.array, updates: mx.array) -> mx.array:
    mode, axis = node.args
    if mode == 1:
        return mx.put_along_axis(x, indices, updates, axis=axis)
    (gradient,) = mx.vjp(lambda z: mx.take_along_axis(z, indices, axis=axis), [x], [updates])[1]
    return x + gradient


def _added_axis(x: mx.array, i: mx.array, y: mx.array) -> mx.array:
    return mx.vjp(lambda z: mx.take_along_axis(z, i, axis=1), [x], [y])[1][0]


@op(
    "ScatterAxis",
    _scatter_axis,
    [
        Case("set", lambda x, y: mx.put_along_axis(x, mx.array([[2, -4]]), y, axis=1), [(3, 4), (3, 2)]),
        Case(
            "moving",
            lambda x, i, y: mx.put_along_axis(x, i, y, axis=0),
            [(4, 3), given(*[[0, -1, 2]]), (1, 3)],
            ["scatter_along_axis"],
        ),
        Case(
            "none", lambda x: mx.put_along_axis(x, mx.zeros((3, 0), mx.int32), mx.zeros((3, 0)), axis=1) + 1, [(3, 4)]
        ),
        Case("add", _added_axis, [(3, 4), integers(3, 6, low=-4, high=4), (3, 6)], ["scatter_along_axis"]),
    ],
)
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
