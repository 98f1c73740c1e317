"""Comparisons, logic, and the choice between two numbers."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import counted, held
from converters.graph import Array


def _compare(name: str, mil: str) -> None:
    def lower(ctx: LoweringContext, x: Var, y: Var) -> Var:
        return getattr(mb, mil)(x=counted(x), y=counted(y), name=ctx.name)

    lower.__name__ = lower.__qualname__ = mil
    lowers(name, emits=dict.fromkeys(("ties", "floats", "bools"), (mil,)))(lower)


_compare("NotEqual", "not_equal")
_compare("Greater", "greater")
_compare("GreaterEqual", "greater_equal")
_compare("Less", "less")
_compare("LessEqual", "less_equal")


@lowers("Equal", emits=dict.fromkeys(("ties", "floats", "bools"), ("equal",)))
def equal(ctx: LoweringContext, x: Var, y: Var) -> Var:
    x, y = counted(x), counted(y)
    if not ctx.args[0]:
        return mb.equal(x=x, y=y, name=ctx.name)
    both = mb.logical_and(x=mb.not_equal(x=x, y=x), y=mb.not_equal(x=y, y=y))
    return mb.logical_or(x=mb.equal(x=x, y=y), y=both, name=ctx.name)


@lowers("LogicalNot", emits={"bools": ["logical_not"]})
def logical_not(ctx: LoweringContext, x: Var) -> Var:
    return mb.logical_not(x=x, name=ctx.name)


@lowers("LogicalAnd", emits={"bools": ["logical_and"]})
def logical_and(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.logical_and(x=x, y=y, name=ctx.name)


@lowers("LogicalOr", emits={"bools": ["logical_or"]})
def logical_or(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.logical_or(x=x, y=y, name=ctx.name)


@lowers("Select", emits={"floats": ["select"]}, raw=True)
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
