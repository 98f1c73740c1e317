"""Integers as MIL holds them: int32 all, cut to the width that MLX computes in, and booleans as 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import LoweringContext
from converters.graph import Array

BITS = {
    "bool": 1,
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "int32": 32,
    "uint32": 32,
    "int64": 64,
    "uint64": 64,
}
NARROW = {"int8", "uint8", "int16", "uint16"}


def held(x: Var | Array) -> Any:
    """A constant in MIL's float or integer type, numbers beyond int32 by their low 32 bits; a variable as it is."""
    if isinstance(x, Var):
        return x
    if x.dtype.kind == "f":
        return x.astype(np.float32)
    return x if x.dtype.kind == "b" else x.astype(np.int64).astype(np.int32)


def counted(x: Var) -> Var:
    """A boolean as 0 or 1; numbers as they are."""
    return mb.cast(x=x, dtype="int32") if x.dtype == types.bool else x


def truth(x: Var, **name: str) -> Var:
    """Where a number isn't zero."""
    if x.dtype == types.bool:
        return mb.identity(x=x, **name)
    return mb.not_equal(x=x, y=np.float32(0) if x.dtype == types.fp32 else 0, **name)


def wrapped(x: Var, dtype: str, **name: str) -> Var:
    """int32 → the number that its low bits are in a narrower type."""
    span = 1 << BITS[dtype]
    if dtype.startswith("u"):
        return mb.mod(x=x, y=span, **name)
    return mb.sub(x=mb.mod(x=mb.add(x=x, y=span // 2), y=span), y=span // 2, **name)


def narrowed(ctx: LoweringContext, x: Var) -> Var:
    """The low bits alone where MLX computes in a narrower type than int32."""
    return wrapped(x, ctx.out.dtype) if ctx.out.dtype in NARROW else x


def settled(ctx: LoweringContext, build: Callable[..., Var], **operands: Var) -> Var:
    """``build(**operands)`` in the output's dtype: MLX computes on booleans as on 0 and 1, and lets integers wrap."""
    if ctx.out.dtype == "bool":
        return truth(build(**{key: counted(x) for key, x in operands.items()}), name=ctx.name)
    if ctx.out.dtype in NARROW:
        return wrapped(build(**operands), ctx.out.dtype, name=ctx.name)
    return build(**operands, name=ctx.name)
