"""Bits of integers."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.ops.registry import Context, lowers

LOGIC = (b.both, b.either, b.differ)
BITS = (b.bits_and, b.bits_or, b.bits_xor)
LEFT = 3
POWERS = np.array([2**k for k in range(63)], np.int64)


@lowers("BitwiseBinary", note="a shift is a product or a quotient, in 64 bits where that is of signed numbers")
def bitwise(ctx: Context, x: Value, y: Value) -> Value:
    kind = ctx.args[0]
    if ctx.out.dtype == "bool":
        return LOGIC[kind](x, y)
    if kind < LEFT:
        return BITS[kind](x, y)
    dtype = ctx.dtype(ctx.out)
    power = b.rows(b.const(POWERS), b.cast(y, np.int32))
    if ctx.constants[1] is not None:
        power = b.const(POWERS[ctx.constants[1]])
    if kind == LEFT:
        return b.wrapped(b.mul(b.cast(x, np.int64), power), dtype)
    return b.cast(b.floor_divide(b.cast(x, np.int64), power), dtype)
