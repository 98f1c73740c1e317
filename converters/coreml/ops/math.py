"""Roots, powers of e, angles: functions of one number, and those of two that are made of them."""

from __future__ import annotations

import math

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import held
from converters.graph import Array
from converters.primitives.math import BASES, CENTRE, TAIL


@lowers("Sqrt", emits={"root": ["sqrt"], "reciprocal": ["rsqrt"]})
def sqrt(ctx: LoweringContext, x: Var) -> Var:
    return mb.rsqrt(x=x, epsilon=0.0, name=ctx.name) if ctx.args[0] else mb.sqrt(x=x, name=ctx.name)


@lowers("Erf", emits={"floats": ["erf"]})
def erf(ctx: LoweringContext, x: Var) -> Var:
    return mb.erf(x=x, name=ctx.name)


def _polynomial(u: Var, coefficients: tuple[float, ...]) -> Var:
    """Horner's scheme in u = t / 8; in t itself the first coefficients are below the smallest float16."""
    last = len(coefficients) - 1
    value: Var = np.float32(coefficients[0] * 8.0**last)
    for power, coefficient in enumerate(coefficients[1:], 1):
        value = mb.add(x=mb.mul(x=value, y=u), y=np.float32(coefficient * 8.0 ** (last - power)))
    return value


@lowers("ErfInv", note="the two polynomials that MLX has too")
def erfinv(ctx: LoweringContext, x: Var) -> Var:
    # 1 − x², without losing what is left of it near 1.
    t = mb.log(x=mb.mul(x=mb.sub(x=1.0, y=x), y=mb.add(x=x, y=1.0)), epsilon=0.0)
    u = mb.mul(x=t, y=0.125)
    tail = mb.less(x=t, y=-6.125)
    return mb.mul(x=x, y=mb.select(cond=tail, a=_polynomial(u, TAIL), b=_polynomial(u, CENTRE)), name=ctx.name)


@lowers("Exp", emits={"floats": ["exp"]})
def exp(ctx: LoweringContext, x: Var) -> Var:
    return mb.exp(x=x, name=ctx.name)


@lowers("Expm1", emits={"small": ["sinh"]})
def expm1(ctx: LoweringContext, x: Var) -> Var:
    # 2 sinh(x/2) e^(x/2): exp(x) − 1 would lose what is small. Below −20 it is −1, and float16 has no sinh of less.
    half = mb.mul(x=mb.maximum(x=x, y=-20.0), y=0.5)
    return mb.mul(x=mb.mul(x=mb.sinh(x=half), y=2.0), y=mb.exp(x=half), name=ctx.name)


@lowers("Log", emits=dict.fromkeys(("log", "log2", "log10"), ("log",)))
def log(ctx: LoweringContext, x: Var) -> Var:
    base = BASES[ctx.args[0]]
    if base == math.e:
        return mb.log(x=x, epsilon=0.0, name=ctx.name)
    return mb.mul(x=mb.log(x=x, epsilon=0.0), y=1 / math.log(base), name=ctx.name)


def log_one_plus(x: Var, **name: str) -> Var:
    """ln(1 + x): ln u for u = 1 + x, and what rounding took from u; nothing where u − 1 is x or infinite."""
    u = mb.add(x=x, y=1.0)
    back = mb.sub(x=u, y=1.0)
    direct = mb.log(x=u, epsilon=0.0)
    mended = mb.add(x=direct, y=mb.real_div(x=mb.sub(x=x, y=back), y=u))
    return mb.select(cond=mb.equal(x=back, y=x), a=direct, b=mended, **name)


@lowers("Log1p", emits={"small": ["log"]})
def log1p(ctx: LoweringContext, x: Var) -> Var:
    return log_one_plus(x, name=ctx.name)


@lowers("LogAddExp", emits={"two": ["softplus"], "zero": ["softplus"]}, raw=True)
def logaddexp(ctx: LoweringContext, x: Var | Array, y: Var | Array) -> Var:
    for a, b in ((x, y), (y, x)):
        if not isinstance(b, Var) and not b.any() and a.shape == ctx.out.shape:
            if not ctx.half:
                return mb.softplus(x=held(a), name=ctx.name)
            # The Neural Engine's own is 0 from 10.4 on: coremltools #2687.
            falling = mb.softplus(x=mb.mul(x=mb.abs(x=held(a)), y=-1.0))
            return mb.add(x=mb.maximum(x=held(a), y=0.0), y=falling, name=ctx.name)
    x, y = held(x), held(y)
    gap = mb.abs(x=mb.sub(x=x, y=y))
    apart = mb.add(x=mb.maximum(x=x, y=y), y=mb.softplus(x=mb.mul(x=gap, y=-1.0)))
    # Two equal infinities have no difference.
    return mb.select(cond=mb.equal(x=x, y=y), a=mb.add(x=x, y=math.log(2)), b=apart, name=ctx.name)


@lowers("Sigmoid", emits={"floats": ["sigmoid"]})
def sigmoid(ctx: LoweringContext, x: Var) -> Var:
    return mb.sigmoid(x=x, name=ctx.name)


def _direct(name: str, mil: str) -> None:
    def lower(ctx: LoweringContext, x: Var) -> Var:
        return getattr(mb, mil)(x=x, name=ctx.name)

    lower.__name__ = lower.__qualname__ = mil
    lowers(name, emits={"floats": [mil]})(lower)


_direct("Sin", "sin")
_direct("Cos", "cos")
_direct("Tan", "tan")
_direct("Sinh", "sinh")
_direct("Cosh", "cosh")
_direct("Tanh", "tanh")
_direct("ArcSin", "asin")
_direct("ArcCos", "acos")
_direct("ArcTan", "atan")
_direct("ArcTanh", "atanh")


@lowers(
    "ArcTan2",
    emits={"floats": ["atan"]},
    note="the sign of a zero isn't seen: −0 below the negative axis gives π, in MLX −π",
)
def arctan2(ctx: LoweringContext, y: Var, x: Var) -> Var:
    # Two equal sizes, infinite or not, have the angle of 1 and 1.
    ratio = mb.real_div(x=y, y=x)
    level = mb.equal(x=mb.abs(x=y), y=mb.abs(x=x))
    angle = mb.atan(x=mb.select(cond=level, a=mb.mul(x=mb.sign(x=x), y=mb.sign(x=y)), b=ratio))
    below = mb.cast(x=mb.less(x=y, y=0.0), dtype="fp32")
    turned = mb.add(x=angle, y=mb.sub(x=math.pi, y=mb.mul(x=below, y=2 * math.pi)))
    beside = mb.select(cond=mb.less(x=x, y=0.0), a=turned, b=angle)
    return mb.select(cond=mb.equal(x=x, y=0.0), a=mb.mul(x=mb.sign(x=y), y=math.pi / 2), b=beside, name=ctx.name)


LARGE = 1e4
"""Beyond this, ln(x + √(x² ± 1)) is ln(2x), which no half-precision number is too large for."""


def _beyond(x: Var, near: Var) -> Var:
    """``near`` up to :data:`LARGE`, ln(2x) above; ``near`` is computed from x cut at it, so that nothing overflows."""
    return mb.select(cond=mb.greater(x=x, y=LARGE), a=mb.add(x=mb.log(x=x), y=math.log(2)), b=near)


@lowers("ArcSinh")
def arcsinh(ctx: LoweringContext, x: Var) -> Var:
    # ln(1 + a + a / (1/a + √(1 + 1/a²))), a = |x|: exact near 0 and without a square that overflows.
    size = mb.abs(x=x)
    a = mb.minimum(x=size, y=LARGE)
    inverse = mb.real_div(x=1.0, y=a)
    root = mb.sqrt(x=mb.add(x=mb.mul(x=inverse, y=inverse), y=1.0))
    rest = mb.real_div(x=a, y=mb.add(x=inverse, y=root))
    return mb.mul(x=mb.sign(x=x), y=_beyond(size, log_one_plus(mb.add(x=a, y=rest))), name=ctx.name)


@lowers("ArcCosh")
def arccosh(ctx: LoweringContext, x: Var) -> Var:
    z = mb.sub(x=mb.minimum(x=x, y=LARGE), y=1.0)
    root = mb.mul(x=mb.sqrt(x=z), y=mb.sqrt(x=mb.add(x=z, y=2.0)))
    return mb.identity(x=_beyond(x, log_one_plus(mb.add(x=z, y=root))), name=ctx.name)
