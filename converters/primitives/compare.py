"""Comparisons, logic, and the choice between two numbers."""

from __future__ import annotations

import mlx.core as mx

from converters.graph import Node
from converters.primitives.registry import Case, Reference, booleans, given, integers, plain, primitive

TIED = (integers(5, 6, low=0, high=3), integers(6, low=0, high=3))


def _cases(function: Reference) -> list[Case]:
    return [
        Case("ties", function, TIED),
        Case("floats", function, [(4, 5), (4, 5)]),
        Case("bools", function, [booleans(9), booleans(9)]),
    ]


for _name, _function in (
    ("NotEqual", mx.not_equal),
    ("Greater", mx.greater),
    ("GreaterEqual", mx.greater_equal),
    ("Less", mx.less),
    ("LessEqual", mx.less_equal),
):
    primitive(_name, plain(_function), _cases(_function))


def _same(node: Node, x: mx.array, y: mx.array) -> mx.array:
    return mx.equal(x, y) | (mx.isnan(x) & mx.isnan(y)) if node.args[0] else mx.equal(x, y)


primitive(
    "Equal",
    _same,
    [
        *_cases(mx.equal),
        Case(
            "nan",
            lambda x, y: mx.array_equal(x, y, equal_nan=True),
            [given(1.0, float("nan")), given(1.0, float("nan"))],
        ),
    ],
)


primitive("LogicalNot", plain(mx.logical_not), [Case("bools", lambda x: ~x, [booleans(9)])])


primitive("LogicalAnd", plain(mx.logical_and), [Case("bools", mx.logical_and, [booleans(9), booleans(9)])])


primitive("LogicalOr", plain(mx.logical_or), [Case("bools", mx.logical_or, [booleans(9), booleans(9)])])


primitive(
    "Select",
    plain(mx.where),
    [
        Case("floats", mx.where, [booleans(4, 5), (4, 5), (5,)]),
        Case("ints", mx.where, [booleans(9), integers(9), integers(9)]),
        Case("bools", mx.where, [booleans(9), booleans(9), booleans(9)]),
        Case("constants", lambda c: mx.where(c, 1.0, -mx.inf), [booleans(4, 5)]),
        Case("scalars", lambda c, x: mx.where(c, x[0], x[1]), [booleans(4, 5), (2,)]),
        Case("rows", mx.where, [booleans(4, 1), (4, 5), (4, 5)]),
    ],
)
