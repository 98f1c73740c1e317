"""Arithmetic on each number: what broadcasts in MLX broadcasts in MIL."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Array
from converters.coreml.ops.registry import Case, LoweringContext, Maker, booleans, given, integers, op, plain, uniform
from converters.coreml.ops.widths import BITS, held, settled

PAIR = ((2, 3, 4), (3, 1))
WRAPS = "8- and 16-bit integers wrap as in MLX; uint32 is held as its 32 bits, and the 64-bit types as int32"


def typed(dtype: str, *shape: int, low: int | None = None) -> Maker:
    """Integers over the whole of a narrow type, or from ``low`` up."""
    info = np.iinfo(dtype)
    return lambda rng: rng.integers(info.min if low is None else low, info.max, shape, endpoint=True).astype(dtype)


BYTES, SIGNED = typed("uint8", 4, 5), typed("int8", 4, 5)
BOOLS = (booleans(4, 5), booleans(4, 5))


@op(
    "Add",
    plain(mx.add),
    [
        Case("broadcast", mx.add, PAIR, ["add"]),
        Case("ints", mx.add, [integers(3), integers(3)]),
        Case("uint8", mx.add, [BYTES, BYTES], ["mod"]),
        Case("int8", mx.add, [SIGNED, SIGNED]),
        Case("bools", mx.add, BOOLS),
    ],
    note=WRAPS,
)
def add(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.add, x=x, y=y)


@op(
    "Subtract",
    plain(mx.subtract),
    [
        Case("broadcast", mx.subtract, PAIR, ["sub"]),
        Case("uint8", mx.subtract, [BYTES, BYTES]),
        Case("bools", mx.subtract, BOOLS),
    ],
    note=WRAPS,
)
def subtract(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.sub, x=x, y=y)


@op(
    "Multiply",
    plain(mx.multiply),
    [
        Case("broadcast", mx.multiply, PAIR, ["mul"]),
        Case("int8", mx.multiply, [SIGNED, SIGNED]),
        Case("uint16", mx.multiply, [typed("uint16", 9), typed("uint16", 9)]),
        Case("bools", mx.multiply, BOOLS),
    ],
    note=WRAPS,
)
def multiply(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=y)


@op("Divide", plain(mx.divide), [Case("broadcast", mx.divide, [(2, 3), uniform(3)], ["real_div"])])
def divide(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return mb.real_div(x=x, y=y, name=ctx.name)


def _extreme(name: str, mil: str, function: Callable[..., mx.array]) -> None:
    def lower(ctx: LoweringContext, x: Var, y: Var) -> Var:
        return settled(ctx, getattr(mb, mil), x=x, y=y)

    lower.__name__ = lower.__qualname__ = mil
    cases = [
        Case("broadcast", function, PAIR, [mil]),
        Case("ints", function, [integers(5), integers(5)]),
        Case("bools", function, BOOLS),
    ]
    op(name, plain(function), cases, note="MLX hands NaN on")(lower)


_extreme("Maximum", "maximum", mx.maximum)
_extreme("Minimum", "minimum", mx.minimum)


@op(
    "Negative",
    plain(mx.negative),
    [
        Case("floats", mx.negative, [(2, 3)]),
        Case("ints", mx.negative, [integers(4)]),
        Case("uint8", mx.negative, [BYTES]),
    ],
)
def negative(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=-1.0 if ctx.out.is_float else -1)


@op(
    "Abs",
    plain(mx.abs),
    [Case("floats", mx.abs, [(2, 3)], ["abs"]), Case("int8", mx.abs, [SIGNED]), Case("bools", mx.abs, BOOLS[:1])],
)
def absolute(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.abs, x=x)


@op(
    "Sign",
    plain(mx.sign),
    [
        Case("floats", mx.sign, [given(-2.0, -0.0, 0.0, 3.5, float("nan"))], ["sign"]),
        Case("ints", mx.sign, [integers(4)]),
        Case("uint8", mx.sign, [BYTES]),
        Case("bools", mx.sign, BOOLS[:1]),
    ],
)
def sign(ctx: LoweringContext, x: Var) -> Var:
    if ctx.out.is_float:  # MLX has 0 for NaN
        return mb.select(cond=mb.equal(x=x, y=x), a=mb.sign(x=x), b=0.0, name=ctx.name)
    return settled(ctx, mb.sign, x=x)


@op(
    "Square",
    plain(mx.square),
    [Case("floats", mx.square, [(2, 3)]), Case("ints", mx.square, [integers(4)]), Case("int8", mx.square, [SIGNED])],
)
def square(ctx: LoweringContext, x: Var) -> Var:
    return settled(ctx, mb.mul, x=x, y=x)


@op(
    "Power",
    plain(mx.power),
    [
        Case("variable", mx.power, [uniform(2, 3), (3,)], ["pow"]),
        Case("square", lambda x: x**2, [(2, 3)], ["mul"]),
        Case("cube", lambda x: x**3, [(2, 3)], ["mul"]),
        Case("root", lambda x: x**0.5, [uniform(2, 3)], ["sqrt"]),
        Case("base", lambda x: 2.0**x, [(2, 3)], ["pow"]),
        Case("negative", lambda x: x**-2, [uniform(2, 3)], ["pow"]),
        Case("ints", lambda x: x**5, [integers(6)], ["mul"]),
        Case("int8", lambda x: x**3, [SIGNED]),
        Case("int_exponents", mx.power, [integers(9), integers(9, low=-9, high=9)]),
        Case("int_minus_one", lambda x: x**-1, [integers(9)]),
        Case("bools", mx.power, BOOLS),
    ],
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


QUOTIENTS = [
    Case("floats", mx.floor_divide, [(4, 5), uniform(5)]),
    Case("ints", mx.floor_divide, [integers(50), integers(50, low=1, high=9)]),
    Case("negative", mx.floor_divide, [integers(50), integers(50, low=-9, high=0)]),
    Case("uint8", mx.floor_divide, [BYTES, typed("uint8", 4, 5, low=1)]),
]


@op("FloorDivide", plain(mx.floor_divide), QUOTIENTS)
def floor_divide(ctx: LoweringContext, x: Var, y: Var) -> Var:
    # MLX rounds the quotient; MIL's floor_div may take the remainder away first, which differs by one at its edge.
    if ctx.out.is_float:
        return mb.floor(x=mb.real_div(x=x, y=y), name=ctx.name)
    return settled(ctx, mb.floor_div, x=x, y=y)


@op(
    "Remainder",
    plain(mx.remainder),
    [
        Case("floats", mx.remainder, [(4, 5), uniform(5)], ["mod"]),
        Case("negative", lambda x: mx.remainder(x, -0.75), [(4, 5)]),
        Case("ints", mx.remainder, [integers(50), integers(50, low=1, high=9)], ["mod"]),
        Case("negative_ints", mx.remainder, [integers(50), integers(50, low=-9, high=0)]),
    ],
    note="takes the divisor's sign",
)
def remainder(ctx: LoweringContext, x: Var, y: Var) -> Var:
    return settled(ctx, mb.mod, x=x, y=y)


@op(
    "DivMod",
    plain(mx.divmod),
    [
        Case("floats", lambda x, y: tuple(mx.divmod(x, y)), [(4, 5), uniform(5)]),
        Case("ints", lambda x: tuple(mx.divmod(x, 3)), [integers(50)]),
    ],
)
def divmod_(ctx: LoweringContext, x: Var, y: Var) -> tuple[Var, Var]:
    quotient, rest = ctx.node.outputs
    if quotient.is_float:
        whole = mb.floor(x=mb.real_div(x=x, y=y), name=quotient.name)
    else:
        whole = mb.floor_div(x=x, y=y, name=quotient.name)
    return whole, mb.mod(x=x, y=y, name=rest.name)


def _rounded(ctx: LoweringContext, x: Var, build: Callable[..., Var]) -> Var:
    return build(x=x, name=ctx.name) if ctx.out.is_float else mb.identity(x=x, name=ctx.name)


HALVES = given(-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 2.7)


@op("Ceil", plain(mx.ceil), [Case("floats", mx.ceil, [HALVES], ["ceil"]), Case("ints", mx.ceil, [integers(3)])])
def ceil(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.ceil)


@op("Floor", plain(mx.floor), [Case("floats", mx.floor, [HALVES], ["floor"]), Case("ints", mx.floor, [integers(3)])])
def floor(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.floor)


@op(
    "Round",
    plain(mx.round),
    [Case("halves_to_even", mx.round, [HALVES], ["round"]), Case("ints", mx.round, [integers(3)])],
)
def round_(ctx: LoweringContext, x: Var) -> Var:
    return _rounded(ctx, x, mb.round)
