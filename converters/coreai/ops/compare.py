"""Comparisons, logic, and the choice between two numbers."""

from __future__ import annotations

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.ops.registry import Context, lowers


@lowers("NotEqual")
def not_equal(ctx: Context, x: Value, y: Value) -> Value:
    return b.not_equal(x, y)


@lowers("Greater")
def greater(ctx: Context, x: Value, y: Value) -> Value:
    return b.greater(b.counted(x), b.counted(y))


@lowers("Less")
def less(ctx: Context, x: Value, y: Value) -> Value:
    return b.less(b.counted(x), b.counted(y))


@lowers("GreaterEqual")
def greater_equal(ctx: Context, x: Value, y: Value) -> Value:
    x, y = b.counted(x), b.counted(y)
    return b.either(b.greater(x, y), b.equal(x, y))


@lowers("LessEqual")
def less_equal(ctx: Context, x: Value, y: Value) -> Value:
    return greater_equal(ctx, y, x)


@lowers("Equal")
def equal(ctx: Context, x: Value, y: Value) -> Value:
    if not ctx.args[0]:
        return b.equal(x, y)
    return b.either(b.equal(x, y), b.both(b.not_equal(x, x), b.not_equal(y, y)))


@lowers("LogicalNot")
def logical_not(ctx: Context, x: Value) -> Value:
    return b.negate(x)


@lowers("LogicalAnd")
def logical_and(ctx: Context, x: Value, y: Value) -> Value:
    return b.both(x, y)


@lowers("LogicalOr")
def logical_or(ctx: Context, x: Value, y: Value) -> Value:
    return b.either(x, y)


@lowers("Select")
def select(ctx: Context, condition: Value, x: Value, y: Value) -> Value:
    return b.select(condition, x, y)
