"""Arithmetic on each number: what broadcasts in MLX broadcasts in MIL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers
from converters.coreml.ops.widths import BITS, held, settled
from converters.graph import Array

WRAPS = "8- and 16-bit integers wrap as in MLX; uint32 is held as its 32 bits, and the 64-bit types as int32"


@lowers("Add", emits={"broadcast": ["add"], "uint8": ["mod"]}, note=WRAPS)
def add(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.add, x=x, y=y)


@lowers("Subtract", emits={"broadcast": ["sub"]}, note=WRAPS)
def subtract(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.sub, x=x, y=y)


@lowers("Multiply", emits={"broadcast": ["mul"]}, note=WRAPS)
def multiply(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=y)


@lowers("Divide", emits={"broadcast": ["real_div"]})
def divide(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.real_div(x=x, y=y, name=ctx.name)


def _extreme(name: str, mil: str) -> None:
    def lower(ctx: LoweringContext, x: Var, y: Var) -> Var:
        return settled(ctx, getattr(mb, mil), x=x, y=y)

    lower.__name__ = lower.__qualname__ = mil
    lowers(name, emits={"broadcast": [mil]}, note="MLX hands NaN on")(lower)


_extreme("Maximum", "maximum")
_extreme("Minimum", "minimum")


@lowers("Negative")
def negative(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=-1.0 if ctx.out.is_float else -1)


@lowers("Abs", emits={"floats": ["abs"]})
def absolute(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.abs, x=x)


@lowers("Sign", emits={"floats": ["sign"]})
def sign(ctx: LoweringContext, x: Var) -> Var:
    if ctx.out.is_float:  # MLX has 0 for NaN
        return mb.select(cond=mb.equal(x=x, y=x), a=mb.sign(x=x), b=0.0, name=ctx.name)
    return settled(ctx, mb.sign, x=x)


@lowers("Square")
def square(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=x)


@lowers(
    "Power",
    emits={
        "variable": ["pow"],
        "square": ["mul"],
        "cube": ["mul"],
        "root": ["sqrt"],
        "base": ["pow"],
        "negative": ["pow"],
        "ints": ["mul"],
    },
    raw=True,
    note="integers: by the bits of the exponent, which may be many",
)
def power(ctx: LoweringContext, x: Var | Array, y: Var | Array) -> Var:
    exponent = None if isinstance(y, Var) or y.size > 1 or ctx.sources[0].shape != ctx.out.shape else y.item()
    x, y = held(x), held(y)
    if ctx.out.dtype == "bool":
        return mb.logical_or(x=x, y=mb.logical_not(x=y), name=ctx.name)
    if not ctx.out.is_float:
        signed = not ctx.sources[1].dtype.startswith("u")
        bits = min(BITS[ctx.sources[1].dtype] - signed, 31)
        return settled(ctx, lambda **name: _whole_power(x, y, exponent, bits, **name))
    # Some engines take no negative base in pow, whatever the exponent.
    if exponent in (2, 3):
        return mb.mul(x=x, y=x if exponent == 2 else mb.mul(x=x, y=x), name=ctx.name)
    if exponent == 0.5:
        return mb.sqrt(x=x, name=ctx.name)
    return mb.pow(x=x, y=y, name=ctx.name)


def _whole_power(x: Var, y: Var, exponent: int | None, width: int, **name: str) -> Var:
    """x to the power of y by the bits of y: a factor where a bit is 1, and a square between two bits. MLX has 0 for any
    number to a power below 0."""
    if exponent is not None and exponent < 0:
        return mb.mul(x=x, y=0, **name)
    bits = [] if exponent is None else [int(bit) for bit in reversed(f"{exponent:b}")]
    result: Var = np.ones((), np.int32)
    for k in range(len(bits) or width):
        bit = bits[k] if bits else mb.mod(x=mb.floor_div(x=y, y=1 << k) if k else y, y=2)
        factor = mb.add(x=mb.mul(x=mb.sub(x=x, y=1), y=bit), y=1)
        result = mb.mul(x=result, y=factor)
        x = mb.mul(x=x, y=x)
    if exponent is None:
        result = mb.mul(x=result, y=mb.cast(x=mb.greater_equal(x=y, y=0), dtype="int32"))
    return mb.identity(x=result, **name)


@lowers("FloorDivide")
def floor_divide(ctx: LoweringContext, x: Var, y: Var) -> Var:
    # MLX rounds the quotient; MIL's floor_div may take the remainder away first, which differs by one at its edge.
    if ctx.out.is_float:
        return mb.floor(x=mb.real_div(x=x, y=y), name=ctx.name)
    return settled(ctx, mb.floor_div, x=x, y=y)


@lowers("Remainder", emits={"floats": ["mod"], "ints": ["mod"]}, note="takes the divisor's sign")
def remainder(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.mod, x=x, y=y)


@lowers("DivMod")
def divmod_(ctx: LoweringContext, x: Var, y: Var) -> tuple[Var, Var]:
    quotient, rest = ctx.node.outputs
    if quotient.is_float:
        whole = mb.floor(x=mb.real_div(x=x, y=y), name=quotient.name)
    else:
        whole = mb.floor_div(x=x, y=y, name=quotient.name)
    return whole, mb.mod(x=x, y=y, name=rest.name)


def _rounded(ctx: LoweringContext, x: Var, build: Callable[..., Var]) -> Var:
    return build(x=x, name=ctx.name) if ctx.out.is_float else mb.identity(x=x, name=ctx.name)


@lowers("Ceil", emits={"floats": ["ceil"]})
def ceil(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.ceil)


@lowers("Floor", emits={"floats": ["floor"]})
def floor(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.floor)


@lowers("Round", emits={"halves_to_even": ["round"]})
def round_(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.round)
