"""Running sums, products, maxima and minima."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import counted, settled

_STEP = {0: mb.maximum, 1: mb.minimum, 3: mb.mul}


SUM = 2


@lowers("Scan", note="all but the sum take log₂ n steps over the whole array")
def scan(ctx: LoweringContext, x: Var) -> Var:
    kind, axis, reverse, inclusive = ctx.args
    axis %= x.rank
    if kind == SUM:
        return settled(ctx, mb.cumsum, x=counted(x), axis=axis, exclusive=not inclusive, reverse=reverse)
    return settled(ctx, lambda **name: _doubling(ctx, counted(x), axis, **name))


def _doubling(ctx: LoweringContext, x: Var, axis: int, **name: str) -> Var:
    """Each step joins twice as many neighbours: x[i] ∘ x[i − 1], then that with x[i − 2], x[i − 4] …"""
    kind, _, reverse, inclusive = ctx.args
    length, step = x.shape[axis], 1
    while step < length:
        whole, rest = (step, length), (0, length - step)
        if reverse:
            whole, rest = rest, whole
        joined = _STEP[kind](x=_part(x, axis, *whole), y=_part(x, axis, *rest))
        kept = _part(x, axis, length - step, length) if reverse else _part(x, axis, 0, step)
        x = mb.concat(values=[joined, kept] if reverse else [kept, joined], axis=axis)
        step *= 2
    if not inclusive:
        shape = [*x.shape[:axis], 1, *x.shape[axis + 1 :]]
        edge = np.full(shape, _start(ctx, kind), np.float32 if ctx.out.is_float else np.int32)
        inner = _part(x, axis, 1, length) if reverse else _part(x, axis, 0, length - 1)
        x = mb.concat(values=[inner, edge] if reverse else [edge, inner], axis=axis)
    return mb.identity(x=x, **name)


def _part(x: Var, axis: int, begin: int, end: int) -> Var:
    return mb.slice_by_index(
        x=x,
        begin=[begin if a == axis else 0 for a in range(x.rank)],
        end=[end if a == axis else side for a, side in enumerate(x.shape)],
    )


def _start(ctx: LoweringContext, kind: int) -> float:
    """What a scan of nothing gives."""
    if kind > SUM:
        return 1
    if ctx.out.dtype == "bool":
        return kind
    info = (-np.inf, np.inf) if ctx.out.is_float else _limits(ctx.out.dtype)
    return info[kind]


def _limits(dtype: str) -> tuple[int, int]:
    if dtype in ("uint32", "uint64"):
        return 0, -1  # all bits of the greatest number
    info = np.iinfo("int32" if dtype == "int64" else dtype)
    return int(info.min), int(info.max)
