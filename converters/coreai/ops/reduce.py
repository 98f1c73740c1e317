"""Reductions along axes."""

from __future__ import annotations

import math

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers

KINDS = ("all", "any", "sum", "product", "min", "max")
"""MLX tells a reduction's kind by its number."""
_SUMS = ("sum", "product")


@lowers("Reduce")
def reduce(ctx: Context, x: Value) -> Value:
    kind, axes = KINDS[ctx.args[0]], list(ctx.args[1])
    if kind in ("all", "any"):
        made = (dialect.all_ if kind == "all" else dialect.any_)(b.truth(x), b.places(axes))
    elif ctx.out.dtype == "complex64":
        parts = [b.reduced(kind, part(x), axes) for part in (dialect.real_part, dialect.imaginary_part)]
        made = dialect.create_complex(*parts)
    elif ctx.out.dtype == "bool":
        made = b.truth(b.reduced(kind, b.counted(x), axes))
    else:
        made = b.reduced(kind, b.cast(x, ctx.dtype(ctx.out)) if kind in _SUMS else x, axes)
    return b.reshape(made, ctx.out.shape)


@lowers("ArgReduce", note="of equal numbers the first, and NaN before them; in float32, whatever the precision")
def arg_reduce(ctx: Context, x: Value) -> Value:
    x, axis = b.counted(x), ctx.args[1]
    kind = b.dtype_of(x).kind
    if kind == "f":
        x = b.cast(x, np.float32)
    if not ctx.args[0]:
        # Turned round without a number that overflows: ~x of integers is −x − 1.
        x = b.mul(x, -1) if kind == "f" else b.bits_xor(x, np.array(-1).astype(b.dtype_of(x)))
    found = _largest(x, axis)
    if kind == "f":  # NaN counts as more than all, and less
        none = b.cast(b.not_equal(x, x), np.uint8)
        found = b.select(b.truth(b.reduced("max", none, [axis])), _largest(none, axis), found)
    return b.cast(found, ctx.dtype(ctx.out))


def _largest(x: Value, axis: int) -> Value:
    return dialect.argmax(x, b.const(axis, np.int32))


@lowers("Softmax")
def softmax(ctx: Context, x: Value) -> Value:
    return dialect.softmax(x, b.const(-1, np.int32))


@lowers("LogSumExp")
def logsumexp(ctx: Context, x: Value) -> Value:
    peak = b.reduced("max", x, [-1])
    # An infinite one is the answer; less itself it would be NaN.
    peak = b.select(b.equal(b.absolute(peak), math.inf), 0, peak)
    return b.add(dialect.log(b.reduced("sum", dialect.exp(b.sub(x, peak)), [-1])), peak)
