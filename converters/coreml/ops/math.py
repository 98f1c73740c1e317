"""Roots, powers of e, angles: functions of one number, and those of two that are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Array
from converters.coreml.ops.registry import Case, LoweringContext, Maker, given, op, plain, uniform
from converters.coreml.ops.widths import held

SMALL = given(-0.5, -1e-3, -1e-6, 0.0, 1e-7, 1e-5, 0.3, 4.0)
WITHIN = uniform(2, 9, low=-0.99, high=0.99)


@op(
    "Sqrt",
    lambda n, x: mx.rsqrt(x) if n.args[0] else mx.sqrt(x),
    [Case("root", mx.sqrt, [uniform(2, 3)], ["sqrt"]), Case("reciprocal", mx.rsqrt, [uniform(2, 3)], ["rsqrt"])],
)
def sqrt(ctx: LoweringContext, x: Var) -> Var:
    return mb.rsqrt(x=x, epsilon=0.0, name=ctx.name) if ctx.args[0] else mb.sqrt(x=x, name=ctx.name)


@op("Erf", plain(mx.erf), [Case("floats", mx.erf, [(2, 3)], ["erf"])])
def erf(ctx: LoweringContext, x: Var) -> Var:
    return mb.erf(x=x, name=ctx.name)


CENTRE = (
    *(5.43877832e-9, 1.43285448e-7, 1.22774793e-6, 1.12963626e-7, -5.61530760e-5),
    *(-1.47697632e-4, 2.31468678e-3, 1.15392581e-2, -2.32015476e-1, 8.86226892e-1),
)
TAIL = (
    *(3.03697567e-10, 2.93243101e-8, 1.22150334e-6, 2.84108955e-5, 3.93552968e-4),
    *(3.02698812e-3, 4.83185798e-3, -2.64646143e-1, 8.40016484e-1),
)


def _polynomial(u: Var, coefficients: tuple[float, ...]) -> Var:
    """Horner's scheme in u = t / 8; in t itself the first coefficients are below the smallest float16."""
    last = len(coefficients) - 1
    value: Var = np.float32(coefficients[0] * 8.0**last)
    for power, coefficient in enumerate(coefficients[1:], 1):
        value = mb.add(x=mb.mul(x=value, y=u), y=np.float32(coefficient * 8.0 ** (last - power)))
    return value


@op(
    "ErfInv",
    plain(mx.erfinv),
    [
        Case("floats", mx.erfinv, [WITHIN]),
        Case("tails", mx.erfinv, [given(-1.0, -0.9999999, -0.999, 0.0, 0.99999, 1.0)]),
    ],
    note="the two polynomials that MLX has too",
)
def erfinv(ctx: LoweringContext, x: Var) -> Var:
    # 1 − x², without losing what is left of it near 1.
    t = mb.log(x=mb.mul(x=mb.sub(x=1.0, y=x), y=mb.add(x=x, y=1.0)), epsilon=0.0)
    u = mb.mul(x=t, y=0.125)
    tail = mb.less(x=t, y=-6.125)
    return mb.mul(x=x, y=mb.select(cond=tail, a=_polynomial(u, TAIL), b=_polynomial(u, CENTRE)), name=ctx.name)


@op("Exp", plain(mx.exp), [Case("floats", mx.exp, [(2, 3)], ["exp"])])
def exp(ctx: LoweringContext, x: Var) -> Var:
    return mb.exp(x=x, name=ctx.name)


@op(
    "Expm1", plain(mx.expm1), [Case("small", mx.expm1, [SMALL], ["sinh"]), Case("low", mx.expm1, [given(-99.0, -21.0)])]
)
def expm1(ctx: LoweringContext, x: Var) -> Var:
    # 2 sinh(x/2) e^(x/2): exp(x) − 1 would lose what is small. Below −20 it is −1, and float16 has no sinh of less.
    half = mb.mul(x=mb.maximum(x=x, y=-20.0), y=0.5)
    return mb.mul(x=mb.mul(x=mb.sinh(x=half), y=2.0), y=mb.exp(x=half), name=ctx.name)


BASES = (2.0, 10.0, math.e)
"""MLX tells a logarithm's base by its number."""


@op(
    "Log",
    lambda n, x: (mx.log2, mx.log10, mx.log)[n.args[0]](x),
    [Case(f.__name__, f, [uniform(2, 3)], ["log"]) for f in (mx.log, mx.log2, mx.log10)],
)
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


@op("Log1p", plain(mx.log1p), [Case("small", mx.log1p, [SMALL], ["log"])])
def log1p(ctx: LoweringContext, x: Var) -> Var:
    return log_one_plus(x, name=ctx.name)


@op(
    "LogAddExp",
    plain(mx.logaddexp),
    [
        Case("two", mx.logaddexp, [(2, 3), (3,)], ["softplus"]),
        Case("zero", lambda x: mx.logaddexp(x, 0), [(2, 3)], ["softplus"]),
        Case(
            "infinite", lambda x: mx.logaddexp(x, mx.array([-mx.inf, -mx.inf, 1.0])), [given(-math.inf, 2.0, -math.inf)]
        ),
    ],
    raw=True,
)
def logaddexp(ctx: LoweringContext, x: Var | Array, y: Var | Array) -> Var:
    for a, b in ((x, y), (y, x)):
        if not isinstance(b, Var) and not b.any() and a.shape == ctx.out.shape:
            return mb.softplus(x=held(a), name=ctx.name)
    x, y = held(x), held(y)
    gap = mb.abs(x=mb.sub(x=x, y=y))
    apart = mb.add(x=mb.maximum(x=x, y=y), y=mb.softplus(x=mb.mul(x=gap, y=-1.0)))
    # Two equal infinities have no difference.
    return mb.select(cond=mb.equal(x=x, y=y), a=mb.add(x=x, y=math.log(2)), b=apart, name=ctx.name)


@op("Sigmoid", plain(mx.sigmoid), [Case("floats", mx.sigmoid, [(2, 3)], ["sigmoid"])])
def sigmoid(ctx: LoweringContext, x: Var) -> Var:
    return mb.sigmoid(x=x, name=ctx.name)


def _direct(name: str, mil: str, function: Callable[..., mx.array], maker: Maker | tuple[int, ...] = (2, 9)) -> None:
    def lower(ctx: LoweringContext, x: Var) -> Var:
        return getattr(mb, mil)(x=x, name=ctx.name)

    lower.__name__ = lower.__qualname__ = mil
    op(name, plain(function), [Case("floats", function, [maker], [mil])])(lower)


_direct("Sin", "sin", mx.sin)
_direct("Cos", "cos", mx.cos)
_direct("Tan", "tan", mx.tan)
_direct("Sinh", "sinh", mx.sinh)
_direct("Cosh", "cosh", mx.cosh)
_direct("Tanh", "tanh", mx.tanh)
_direct("ArcSin", "asin", mx.arcsin, WITHIN)
_direct("ArcCos", "acos", mx.arccos, WITHIN)
_direct("ArcTan", "atan", mx.arctan)
_direct("ArcTanh", "atanh", mx.arctanh, WITHIN)


@op(
    "ArcTan2",
    plain(mx.arctan2),
    [
        Case("floats", mx.arctan2, [(5, 5), (5, 5)], ["atan"]),
        Case("axes", mx.arctan2, [given(0.0, 0.0, 0.0, 1.0, -1.0, 2.0), given(0.0, 1.0, -1.0, 0.0, 0.0, -1.0)]),
        Case("infinite", mx.arctan2, [given(math.inf, -math.inf, math.inf), given(math.inf, -math.inf, -1.0)]),
    ],
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


@op(
    "ArcSinh",
    plain(mx.arcsinh),
    [Case("small", mx.arcsinh, [SMALL]), Case("wide", mx.arcsinh, [given(-1e10, 50.0, 3e38, -3e38, math.inf)])],
)
def arcsinh(ctx: LoweringContext, x: Var) -> Var:
    # ln(1 + a + a / (1/a + √(1 + 1/a²))), a = |x|: exact near 0 and without a square that overflows.
    size = mb.abs(x=x)
    a = mb.minimum(x=size, y=LARGE)
    inverse = mb.real_div(x=1.0, y=a)
    root = mb.sqrt(x=mb.add(x=mb.mul(x=inverse, y=inverse), y=1.0))
    rest = mb.real_div(x=a, y=mb.add(x=inverse, y=root))
    return mb.mul(x=mb.sign(x=x), y=_beyond(size, log_one_plus(mb.add(x=a, y=rest))), name=ctx.name)


@op("ArcCosh", plain(mx.arccosh), [Case("floats", mx.arccosh, [given(1.0, 1.0001, 1.5, 40.0, 1e10, 3e38, math.inf)])])
def arccosh(ctx: LoweringContext, x: Var) -> Var:
    z = mb.sub(x=mb.minimum(x=x, y=LARGE), y=1.0)
    root = mb.mul(x=mb.sqrt(x=z), y=mb.sqrt(x=mb.add(x=z, y=2.0)))
    return mb.identity(x=_beyond(x, log_one_plus(mb.add(x=z, y=root))), name=ctx.name)
