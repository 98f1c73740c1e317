"""Shapes and positions: what moves numbers and changes none."""

from __future__ import annotations

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.primitives.shape import positions, spans


@lowers("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims")
def reshape(ctx: Context, x: Value) -> Value:
    return b.reshape(x, ctx.out.shape)


@lowers("Transpose")
def transpose(ctx: Context, x: Value) -> Value:
    return b.transpose(x, ctx.args[0])


@lowers("Broadcast")
def broadcast(ctx: Context, x: Value) -> Value:
    return b.broadcast(x, ctx.out.shape)


@lowers("Slice")
def slice_(ctx: Context, x: Value) -> Value:
    return b.part(x, spans(ctx.args, b.shape_of(x)))


@lowers("Pick")
def pick(ctx: Context, x: Value) -> Value:
    return b.reshape(b.part(x, spans(ctx.args[:3], b.shape_of(x))), ctx.out.shape)


@lowers("Concatenate")
def concatenate(ctx: Context, *x: Value) -> Value:
    return b.concat(ctx.args[0], x)


@lowers("Split")
def split(ctx: Context, x: Value) -> list[Value]:
    axis = ctx.args[1] % b.rank(x)
    made, start = [], 0
    for tensor in ctx.node.outputs:
        made.append(b.within(x, axis, start, start + tensor.shape[axis]))
        start += tensor.shape[axis]
    return made


@lowers("Pad")
def pad(ctx: Context, x: Value, value: Value) -> Value:
    axes, low, high = ctx.args
    before, after = [0] * b.rank(x), [0] * b.rank(x)
    for axis, left, right in zip(axes, low, high, strict=True):
        before[axis], after[axis] = left, right
    if ctx.out.dtype == "complex64":
        sides = [(part(x), part(value)) for part in (dialect.real_part, dialect.imaginary_part)]
        return dialect.create_complex(*(b.pad(n, before, after, b.reshape(v, ())) for n, v in sides))
    return b.pad(x, before, after, b.reshape(value, ()))


@lowers("AsStrided", note="a gather at constant positions")
def as_strided(ctx: Context, x: Value) -> Value:
    return b.rows(b.reshape(x, (ctx.sources[0].size,)), b.const(positions(ctx.node)))
