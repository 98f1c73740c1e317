"""Changes of type, and what only looks like one."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.errors import ConversionError


@lowers("AsType", note="floats to integers truncate toward zero; beyond int32 they saturate, where MLX has no rule")
def astype(ctx: Context, x: Value) -> Value:
    target = ctx.dtype(ctx.out)
    if b.dtype_of(x).kind == "c" and target.kind != "c":
        x = dialect.real_part(x)
    if target.kind == "c":
        return x if b.dtype_of(x).kind == "c" else dialect.create_complex(x := b.cast(x, np.float32), b.mul(x, 0))
    if target == np.bool_:
        return b.truth(x)
    if target.kind == "f" or b.dtype_of(x) == np.bool_:
        return b.cast(x, target)
    held, info = ctx.ranges[0], np.iinfo(target)
    if held is not None and info.min <= held[0] and held[1] <= info.max:
        return b.cast(x, target)
    if ctx.sources[0].is_float and target.itemsize >= 4:
        return b.cast(x, target) if target.kind == "i" else b.wrapped(b.cast(x, np.int64), target)
    return b.wrapped(b.cast(x, np.int32) if ctx.sources[0].is_float else x, target)


@lowers("View", note="between integers of one size; the bits of a float can't be seen")
def view(ctx: Context, x: Value) -> Value:
    source, target = ctx.sources[0], ctx.out
    if source.is_float or target.is_float or source.shape != target.shape or target.dtype == "bool":
        raise ConversionError(
            f"{ctx.node.scope or 'the function'} views {source.dtype} {source.shape} as {target.dtype} {target.shape}; "
            "Core AI can't reinterpret bits other than of integers of one size: use astype"
        )
    return b.wrapped(b.counted(x), np.dtype(target.dtype))


@lowers("Depends")
def depends(ctx: Context, *x: Value) -> Value:
    return x[0]
