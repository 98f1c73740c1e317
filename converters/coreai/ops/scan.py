"""Running sums, products, maxima and minima."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers

KINDS = ("max", "min", "sum", "product")
"""MLX tells a scan's kind by its number."""
_STEP = {"max": b.maximum, "min": b.minimum, "sum": b.add, "product": b.mul}


@lowers("Scan", note="of integers, and of largest and smallest numbers, in log₂ n steps over the whole array")
def scan(ctx: Context, x: Value) -> Value:
    kind, axis, reverse, inclusive = KINDS[ctx.args[0]], ctx.args[1] % b.rank(x), *ctx.args[2:]
    boolean = ctx.out.dtype == "bool"
    x = b.counted(x) if boolean else b.cast(x, ctx.dtype(ctx.out))
    # The runtime's own passes NaN over in extremes, and ends its process where a whole number leaves its type.
    if ctx.out.is_float and kind in ("sum", "product"):
        x = dialect.scan(x, b.const(axis, np.uint32), b.const(bool(reverse)), kind)
    else:
        x = _doubled(x, kind, axis, reverse)
    if not inclusive:
        x = _shifted(x, _start(ctx, kind), axis, reverse)
    return b.truth(x) if boolean else x


def _doubled(x: Value, kind: str, axis: int, reverse: bool) -> Value:
    """Each step joins twice as many neighbours: x[i] ∘ x[i − 1], then that with x[i − 2], x[i − 4] …"""
    length, step = b.shape_of(x)[axis], 1
    while step < length:
        late, early = b.within(x, axis, step, length), b.within(x, axis, 0, length - step)
        joined = _STEP[kind](late, early)
        kept = b.within(x, axis, length - step, length) if reverse else b.within(x, axis, 0, step)
        x = b.concat(axis, [joined, kept] if reverse else [kept, joined])
        step *= 2
    return x


def _shifted(x: Value, start: float, axis: int, reverse: bool) -> Value:
    """x without its last number, and what a scan of nothing gives before it."""
    shape = list(b.shape_of(x))
    edge = b.const(np.full([*shape[:axis], 1, *shape[axis + 1 :]], start, b.dtype_of(x)))
    inner = b.within(x, axis, 1, shape[axis]) if reverse else b.within(x, axis, 0, shape[axis] - 1)
    return b.concat(axis, [inner, edge] if reverse else [edge, inner])


def _start(ctx: Context, kind: str) -> float:
    if kind in ("sum", "product"):
        return float(kind == "product")
    if ctx.out.dtype == "bool":
        return float(kind == "min")
    if ctx.out.is_float:
        return -np.inf if kind == "max" else np.inf
    info = np.iinfo(ctx.out.dtype)
    return info.min if kind == "max" else info.max
