"""Arithmetic on each number. Integers wrap in Core AI as they do in MLX."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.complex import size
from converters.coreai.ops.registry import Context, lowers


def settled(ctx: Context, build: Callable[..., Value], *operands: Value) -> Value:
    """``build(*operands)``; MLX computes on booleans as on 0 and 1."""
    if ctx.out.dtype == "bool":
        return b.truth(build(*(b.cast(x, np.int32) for x in operands)))
    return build(*operands)


@lowers("Add")
def add(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, b.add, x, y)


@lowers("Subtract")
def subtract(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, b.sub, x, y)


@lowers("Multiply")
def multiply(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, b.mul, x, y)


@lowers("Divide")
def divide(ctx: Context, x: Value, y: Value) -> Value:
    return b.divide(x, y)


@lowers("Maximum", note="MLX hands NaN on")
def maximum(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, b.maximum, x, y)


@lowers("Minimum", note="MLX hands NaN on")
def minimum(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, b.minimum, x, y)


@lowers("Negative")
def negative(ctx: Context, x: Value) -> Value:
    return b.sub(0, x) if ctx.dtype(ctx.out).kind == "u" else b.mul(x, -1)


@lowers("Abs")
def absolute(ctx: Context, x: Value) -> Value:
    kind = b.dtype_of(x).kind
    if kind == "c":  # MLX has complex numbers here too
        return dialect.create_complex(size(x), b.mul(dialect.real_part(x), 0))
    return x if kind in "bu" else b.absolute(x)


@lowers("Sign")
def sign(ctx: Context, x: Value) -> Value:
    return x if ctx.out.dtype == "bool" else b.sign(x)


@lowers("Square")
def square(ctx: Context, x: Value) -> Value:
    return settled(ctx, lambda x: b.mul(x, x), x)


@lowers("Power", note="integers: by the bits of the exponent, which may be many")
def power(ctx: Context, x: Value, y: Value) -> Value:
    known = ctx.constants[1]
    exponent = None if known is None or known.size > 1 or ctx.sources[0].shape != ctx.out.shape else known.item()
    if ctx.out.dtype == "bool":
        return b.either(x, b.negate(y))
    if not ctx.out.is_float:
        return _whole_power(x, y, exponent, ctx.dtype(ctx.sources[1]))
    if exponent in (2, 3):
        return b.mul(x, x if exponent == 2 else b.mul(x, x))
    if exponent == 0.5:
        return dialect.sqrt(x)
    return b.power(x, y)


def _whole_power(x: Value, y: Value, exponent: int | None, dtype: np.dtype[np.integer]) -> Value:
    """x to the power of y by the bits of y: a factor where a bit is 1, and a square between two bits. MLX has 0 for any
    number to a power below 0."""
    if exponent is not None and exponent < 0:
        return b.mul(x, 0)
    signed = dtype.kind == "i"
    width = dtype.itemsize * 8 - signed if exponent is None else max(exponent.bit_length(), 1)
    result = b.add(b.mul(x, 0), 1)
    for k in range(width):
        bit = b.modulo(b.floor_divide(y, 1 << k) if k else y, 2) if exponent is None else exponent >> k & 1
        result = b.mul(result, b.add(b.mul(b.sub(x, 1), bit), 1))
        x = b.mul(x, x)
    return b.select(b.less(y, 0), 0, result) if signed and exponent is None else result


@lowers("FloorDivide", note="an integer by 0 is 0")
def floor_divide(ctx: Context, x: Value, y: Value) -> Value:
    if ctx.out.is_float:
        return b.floor(b.divide(x, y))
    return settled(ctx, lambda x, y: _by(b.floor_divide, ctx, x, y), x, y)


@lowers("Remainder", note="takes the divisor's sign; of an integer by 0 it is 0")
def remainder(ctx: Context, x: Value, y: Value) -> Value:
    return settled(ctx, lambda x, y: _rest(ctx, x, y), x, y)


@lowers("DivMod")
def divmod_(ctx: Context, x: Value, y: Value) -> tuple[Value, Value]:
    return floor_divide(ctx, x, y), _rest(ctx, x, y)


def _rest(ctx: Context, x: Value, y: Value) -> Value:
    rest = b.modulo(x, y) if ctx.out.is_float else _by(b.modulo, ctx, x, y)
    if b.dtype_of(x).kind == "u":
        return rest
    other = b.both(b.not_equal(rest, 0), b.differ(b.less(rest, 0), b.less(y, 0)))
    return b.select(other, b.add(rest, y), rest)


def _by(build: Callable[..., Value], ctx: Context, x: Value, y: Value) -> Value:
    """A quotient or remainder of integers: the runtime ends its process at a division by 0."""
    known = ctx.constants[1]
    if known is not None and known.all():
        return build(x, y)
    none = b.equal(y, 0)
    return b.select(none, 0, build(x, b.select(none, 1, y)))


@lowers("Ceil")
def ceil(ctx: Context, x: Value) -> Value:
    return b.ceil(x) if ctx.out.is_float else x


@lowers("Floor")
def floor(ctx: Context, x: Value) -> Value:
    return b.floor(x) if ctx.out.is_float else x


@lowers("Round", note="halves to even")
def round_(ctx: Context, x: Value) -> Value:
    return dialect.round_(x) if ctx.out.is_float else x
