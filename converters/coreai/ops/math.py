"""Roots, powers of e, angles: functions of one number, and those of two that are made of them."""

from __future__ import annotations

import math

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.primitives.math import BASES, CENTRE, TAIL

DIRECT = {
    **{"Erf": dialect.erf, "Exp": dialect.exp, "Sigmoid": dialect.sigmoid, "Sin": dialect.sin, "Cos": dialect.cos},
    **{"Tan": dialect.tan, "Sinh": dialect.sinh, "Cosh": dialect.cosh, "Tanh": dialect.tanh, "ArcSin": dialect.asin},
    **{"ArcCos": dialect.acos, "ArcTan": dialect.atan, "ArcSinh": dialect.asinh, "ArcCosh": dialect.acosh},
    "ArcTanh": dialect.atanh,
}


@lowers(*DIRECT)
def direct(ctx: Context, x: Value) -> Value:
    return DIRECT[ctx.node.op](x)


@lowers("Sqrt")
def sqrt(ctx: Context, x: Value) -> Value:
    return dialect.rsqrt(x) if ctx.args[0] else dialect.sqrt(x)


def _polynomial(u: Value, coefficients: tuple[float, ...]) -> Value:
    """Horner's scheme in u = t / 8; in t itself the first coefficients are below the smallest float16."""
    last = len(coefficients) - 1
    value: Value = coefficients[0] * 8.0**last
    for exponent, coefficient in enumerate(coefficients[1:], 1):
        value = b.add(b.mul(value, u), coefficient * 8.0 ** (last - exponent))
    return value


@lowers("ErfInv", note="the two polynomials that MLX has too")
def erfinv(ctx: Context, x: Value) -> Value:
    # 1 − x², without losing what is left of it near 1.
    t = dialect.log(b.mul(b.sub(1, x), b.add(x, 1)))
    u = b.mul(t, 0.125)
    return b.mul(x, b.select(b.less(t, -6.125), _polynomial(u, TAIL), _polynomial(u, CENTRE)))


@lowers("Expm1")
def expm1(ctx: Context, x: Value) -> Value:
    # 2 sinh(x/2) e^(x/2): exp(x) − 1 would lose what is small. Below −20 it is −1, and float16 has no sinh of less.
    half = b.mul(b.maximum(x, -20), 0.5)
    return b.mul(b.mul(dialect.sinh(half), 2), dialect.exp(half))


@lowers("Log")
def log(ctx: Context, x: Value) -> Value:
    base = BASES[ctx.args[0]]
    return dialect.log(x) if base == math.e else b.mul(dialect.log(x), 1 / math.log(base))


@lowers("Log1p")
def log1p(ctx: Context, x: Value) -> Value:
    """ln u for u = 1 + x, and what rounding took from u; nothing where u − 1 is x or infinite."""
    u = b.add(x, 1)
    back, straight = b.sub(u, 1), dialect.log(u)
    mended = b.add(straight, b.divide(b.sub(x, back), u))
    return b.select(b.equal(back, x), straight, mended)


@lowers("LogAddExp")
def logaddexp(ctx: Context, x: Value, y: Value) -> Value:
    gap = b.absolute(b.sub(x, y))
    apart = b.add(b.maximum(x, y), log1p(ctx, dialect.exp(b.mul(gap, -1))))
    # Two equal infinities have no difference.
    return b.select(b.equal(x, y), b.add(x, math.log(2)), apart)


@lowers("ArcTan2", note="the sign of a zero isn't seen: −0 below the negative axis gives π, in MLX −π")
def arctan2(ctx: Context, y: Value, x: Value) -> Value:
    # Two equal sizes, infinite or not, have the angle of 1 and 1.
    level = b.equal(b.absolute(y), b.absolute(x))
    angle = dialect.atan(b.select(level, b.mul(b.sign(x), b.sign(y)), b.divide(y, x)))
    below = b.cast(b.less(y, 0), b.dtype_of(y))
    turned = b.add(angle, b.sub(math.pi, b.mul(below, 2 * math.pi)))
    beside = b.select(b.less(x, 0), turned, angle)
    return b.select(b.equal(x, 0), b.mul(b.sign(y), math.pi / 2), beside)
