"""Comparisons, logic, and the choice between two numbers."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Array, Node
from converters.coreml.ops.registry import Case, LoweringContext, Reference, booleans, given, integers, op, plain
from converters.coreml.ops.widths import counted, held

TIED = (integers(5, 6, low=0, high=3), integers(6, low=0, high=3))


def _cases(function: Reference, mil: str) -> list[Case]:
    return [
        Case("ties", function, TIED, [mil]),
        Case("floats", function, [(4, 5), (4, 5)], [mil]),
        Case("bools", function, [booleans(9), booleans(9)], [mil]),
    ]


def _compare(name: str, mil: str, function: Reference) -> None:
    def lower(ctx: LoweringContext, x: Var, y: Var) -> Var:
        return getattr(mb, mil)(x=counted(x), y=counted(y), name=ctx.name)

    lower.__name__ = lower.__qualname__ = mil
    op(name, plain(function), _cases(function, mil))(lower)


_compare("NotEqual", "not_equal", mx.not_equal)
_compare("Greater", "greater", mx.greater)
_compare("GreaterEqual", "greater_equal", mx.greater_equal)
_compare("Less", "less", mx.less)
_compare("LessEqual", "less_equal", mx.less_equal)


def _same(node: Node, x: mx.array, y: mx.array) -> mx.array:
    return mx.equal(x, y) | (mx.isnan(x) & mx.isnan(y)) if node.args[0] else mx.equal(x, y)


@op(
    "Equal",
    _same,
    [
        *_cases(mx.equal, "equal"),
        Case(
            "nan",
            lambda x, y: mx.array_equal(x, y, equal_nan=True),
            [given(1.0, float("nan")), given(1.0, float("nan"))],
        ),
    ],
)
def equal(ctx: LoweringContext, x: Var, y: Var) -> Var:
    x, y = counted(x), counted(y)
    if not ctx.args[0]:
        return mb.equal(x=x, y=y, name=ctx.name)
    both = mb.logical_and(x=mb.not_equal(x=x, y=x), y=mb.not_equal(x=y, y=y))
    return mb.logical_or(x=mb.equal(x=x, y=y), y=both, name=ctx.name)


@op("LogicalNot", plain(mx.logical_not), [Case("bools", lambda x: ~x, [booleans(9)], ["logical_not"])])
def logical_not(ctx: LoweringContext, x: Var) -> Var:
    return mb.logical_not(x=x, name=ctx.name)


@op("LogicalAnd", plain(mx.logical_and), [Case("bools", mx.logical_and, [booleans(9), booleans(9)], ["logical_and"])])
def logical_and(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.logical_and(x=x, y=y, name=ctx.name)


@op("LogicalOr", plain(mx.logical_or), [Case("bools", mx.logical_or, [booleans(9), booleans(9)], ["logical_or"])])
def logical_or(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.logical_or(x=x, y=y, name=ctx.name)


@op(
    "Select",
    plain(mx.where),
    [
        Case("floats", mx.where, [booleans(4, 5), (4, 5), (5,)], ["select"]),
        Case("ints", mx.where, [booleans(9), integers(9), integers(9)]),
        Case("bools", mx.where, [booleans(9), booleans(9), booleans(9)]),
        Case("constants", lambda c: mx.where(c, 1.0, -mx.inf), [booleans(4, 5)]),
        Case("scalars", lambda c, x: mx.where(c, x[0], x[1]), [booleans(4, 5), (2,)]),
        Case("rows", mx.where, [booleans(4, 1), (4, 5), (4, 5)]),
    ],
    raw=True,
)
def select(ctx: LoweringContext, cond: Var | Array, x: Var | Array, y: Var | Array) -> Var:
    # MIL takes the shape from the two numbers alone.
    if np.broadcast_shapes(tuple(x.shape), tuple(y.shape)) != ctx.out.shape:
        x = _spread(x, ctx.out.shape)
    return mb.select(cond=held(cond), a=held(x), b=held(y), name=ctx.name)


def _spread(x: Var | Array, shape: tuple[int, ...]) -> Var | Array:
    if not isinstance(x, Var):
        return np.broadcast_to(x, shape)
    x = mb.reshape(x=x, shape=(1,) * (len(shape) - x.rank) + tuple(x.shape))
    return mb.tile(x=x, reps=[want // have for want, have in zip(shape, x.shape, strict=True)])
