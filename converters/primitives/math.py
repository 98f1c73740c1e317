"""Roots, powers of e, angles: functions of one number, and those of two that are made of them."""

from __future__ import annotations

import math

import mlx.core as mx

from converters.primitives.registry import Case, given, plain, primitive, uniform

BASES = (2.0, 10.0, math.e)
"""MLX tells a logarithm's base by its number."""
SMALL = given(-0.5, -1e-3, -1e-6, 0.0, 1e-7, 1e-5, 0.3, 4.0)


WITHIN = uniform(2, 9, low=-0.99, high=0.99)


primitive(
    "Sqrt",
    lambda n, x: mx.rsqrt(x) if n.args[0] else mx.sqrt(x),
    [Case("root", mx.sqrt, [uniform(2, 3)]), Case("reciprocal", mx.rsqrt, [uniform(2, 3)])],
)


primitive("Erf", plain(mx.erf), [Case("floats", mx.erf, [(2, 3)])])


CENTRE = (
    *(5.43877832e-9, 1.43285448e-7, 1.22774793e-6, 1.12963626e-7, -5.61530760e-5),
    *(-1.47697632e-4, 2.31468678e-3, 1.15392581e-2, -2.32015476e-1, 8.86226892e-1),
)


TAIL = (
    *(3.03697567e-10, 2.93243101e-8, 1.22150334e-6, 2.84108955e-5, 3.93552968e-4),
    *(3.02698812e-3, 4.83185798e-3, -2.64646143e-1, 8.40016484e-1),
)
"""Coefficients of the inverse error function: within, and where x² > 1 − e^−6.125."""


primitive(
    "ErfInv",
    plain(mx.erfinv),
    [
        Case("floats", mx.erfinv, [WITHIN]),
        Case("tails", mx.erfinv, [given(-1.0, -0.9999999, -0.999, 0.0, 0.99999, 1.0)]),
    ],
)


primitive("Exp", plain(mx.exp), [Case("floats", mx.exp, [(2, 3)])])


primitive("Expm1", plain(mx.expm1), [Case("small", mx.expm1, [SMALL]), Case("low", mx.expm1, [given(-99.0, -21.0)])])


primitive(
    "Log",
    lambda n, x: (mx.log2, mx.log10, mx.log)[n.args[0]](x),
    [Case(f.__name__, f, [uniform(2, 3)]) for f in (mx.log, mx.log2, mx.log10)],
)


primitive("Log1p", plain(mx.log1p), [Case("small", mx.log1p, [SMALL])])


primitive(
    "LogAddExp",
    plain(mx.logaddexp),
    [
        Case("two", mx.logaddexp, [(2, 3), (3,)]),
        Case("zero", lambda x: mx.logaddexp(x, 0), [(2, 3)]),
        Case(
            "infinite", lambda x: mx.logaddexp(x, mx.array([-mx.inf, -mx.inf, 1.0])), [given(-math.inf, 2.0, -math.inf)]
        ),
    ],
)


for _name, _function, _numbers in (
    ("Sigmoid", mx.sigmoid, (2, 3)),
    ("Sin", mx.sin, (2, 9)),
    ("Cos", mx.cos, (2, 9)),
    ("Tan", mx.tan, (2, 9)),
    ("Sinh", mx.sinh, (2, 9)),
    ("Cosh", mx.cosh, (2, 9)),
    ("Tanh", mx.tanh, (2, 9)),
    ("ArcSin", mx.arcsin, WITHIN),
    ("ArcCos", mx.arccos, WITHIN),
    ("ArcTan", mx.arctan, (2, 9)),
    ("ArcTanh", mx.arctanh, WITHIN),
):
    primitive(_name, plain(_function), [Case("floats", _function, [_numbers])])


primitive(
    "ArcTan2",
    plain(mx.arctan2),
    [
        Case("floats", mx.arctan2, [(5, 5), (5, 5)]),
        Case("axes", mx.arctan2, [given(0.0, 0.0, 0.0, 1.0, -1.0, 2.0), given(0.0, 1.0, -1.0, 0.0, 0.0, -1.0)]),
        Case("infinite", mx.arctan2, [given(math.inf, -math.inf, math.inf), given(math.inf, -math.inf, -1.0)]),
    ],
)


primitive(
    "ArcSinh",
    plain(mx.arcsinh),
    [Case("small", mx.arcsinh, [SMALL]), Case("wide", mx.arcsinh, [given(-1e10, 50.0, 3e38, -3e38, math.inf)])],
)


primitive(
    "ArcCosh", plain(mx.arccosh), [Case("floats", mx.arccosh, [given(1.0, 1.0001, 1.5, 40.0, 1e10, 3e38, math.inf)])]
)
