"""Complex numbers, of which Core ML has none: two real arrays each, inside a package alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.registry import OPS, Lowering, LoweringContext, lowers
from converters.errors import ConversionError
from converters.graph import Array, Tensor

DTYPE = "complex64"


SUM = 2


@dataclass(frozen=True)
class Complex:
    """A value of complex64; no imaginary part stands for zero."""

    real: Var
    imag: Var | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.real.shape)

    @property
    def dtype(self) -> Any:
        return types.complex64


COMPLEX: dict[str, Lowering] = {}
"""Primitive → its lowering where it reads or makes complex numbers; operands that are constants are NumPy arrays."""


def complex_lowering(ctx: LoweringContext) -> Lowering:
    """What lowers a node that has complex numbers.

    Raises:
        ConversionError: the primitive has a lowering of real numbers alone.
    """
    if ctx.node.op in COMPLEX:
        return COMPLEX[ctx.node.op]
    raise ConversionError(
        f"{ctx.node.op} of complex numbers in {ctx.node.scope or 'the function'} has no lowering; those that have are "
        f"{', '.join(sorted(COMPLEX))}: take mx.real and mx.imag before it"
    )


def is_complex(ctx: LoweringContext) -> bool:
    """Whether a node reads or makes complex numbers."""
    return any(t.dtype == DTYPE for t in (*ctx.sources, *ctx.node.outputs))


def complex_op(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering of complex numbers beside the real one of the same primitive."""

    def register(lower: Lowering) -> Lowering:
        COMPLEX.update(dict.fromkeys(names, lower))
        return lower

    return register


def parts(x: Any) -> tuple[Any, Any]:
    """Real and imaginary part, the second None where it is zero."""
    if isinstance(x, Complex):
        return x.real, x.imag
    if isinstance(x, Var):
        return x, None
    return x.real.astype(np.float32), x.imag.astype(np.float32) if x.dtype.kind == "c" and x.imag.any() else None


def _of(ctx: LoweringContext, part: str) -> LoweringContext:
    def real(t: Tensor) -> Tensor:
        return replace(t, dtype="float32") if t.dtype == DTYPE else t

    made = tuple(real(replace(t, name=f"{t.name}_{part}")) for t in ctx.node.outputs)
    return replace(ctx, node=replace(ctx.node, outputs=made), sources=tuple(map(real, ctx.sources)))


@complex_op(
    *("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims", "Transpose", "Broadcast", "Slice", "Pick", "Split"),
    *("Concatenate", "Pad", "SliceUpdate", "Full", "Gather", "GatherAxis", "AsStrided", "Select", "Depends"),
    *("Add", "Subtract", "Negative", "Reduce"),
)
def linear(ctx: LoweringContext, *operands: Complex | Var | Array) -> Any:
    """What acts on both parts alike."""
    if ctx.node.op == "Reduce" and ctx.args[0] != SUM:
        raise ConversionError(f"of complex numbers only the sum can be taken along an axis: {ctx.node.op} {ctx.args}")
    row = OPS[ctx.node.op]

    def lowered(part: str, position: int) -> list[Var]:
        values = []
        for x, source in zip(operands, ctx.sources, strict=True):
            value = parts(x)[position] if source.dtype == DTYPE else x
            if value is None:
                value = np.zeros(source.shape, np.float32)
            values.append(value if row.raw or isinstance(value, Var) else mb.const(val=value))
        made = row.lower(_of(ctx, part), *values)
        return list(made) if isinstance(made, list | tuple) else [made]

    real = lowered("real", 0)
    if all(parts(x)[1] is None for x in operands):
        return [Complex(r) for r in real]
    return [Complex(r, i) for r, i in zip(real, lowered("imag", 1), strict=True)]


def _product(build: Callable[..., Var], x: Any, y: Any) -> Complex:
    (a, b), (c, d) = parts(x), parts(y)
    if b is None and d is None:
        return Complex(build(x=a, y=c))
    if b is None or d is None:
        return Complex(build(x=a, y=c), build(x=a if b is None else b, y=c if d is None else d))
    real = mb.sub(x=build(x=a, y=c), y=build(x=b, y=d))
    return Complex(real, mb.add(x=build(x=a, y=d), y=build(x=b, y=c)))


@complex_op("Multiply", "Matmul")
def multiply(ctx: LoweringContext, x: Any, y: Any) -> Complex:
    return _product(mb.mul if ctx.node.op == "Multiply" else mb.matmul, x, y)


@complex_op("Square")
def square(ctx: LoweringContext, x: Any) -> Complex:
    return _product(mb.mul, x, x)


@complex_op("Divide")
def divide(ctx: LoweringContext, x: Any, y: Any) -> Complex:
    (a, b), (c, d) = parts(x), parts(y)
    if d is None:
        return Complex(mb.real_div(x=a, y=c), None if b is None else mb.real_div(x=b, y=c))
    # By the larger part of the divisor first: its square may be too large for a float.
    c, d, larger = _scaled(c, d)
    size = mb.mul(x=larger, y=mb.add(x=mb.mul(x=c, y=c), y=mb.mul(x=d, y=d)))
    above = _product(mb.mul, x, Complex(c, mb.mul(x=d, y=-1.0)))
    return Complex(mb.real_div(x=above.real, y=size), mb.real_div(x=above.imag, y=size))


def _scaled(a: Var, b: Var) -> tuple[Var, Var, Var]:
    """Both parts divided by the larger one, and that; by 1 where it is zero or infinite."""
    larger = mb.maximum(x=mb.abs(x=a), y=mb.abs(x=b))
    no_divisor = mb.logical_or(x=mb.equal(x=larger, y=0.0), y=mb.equal(x=larger, y=math.inf))
    larger = mb.select(cond=no_divisor, a=1.0, b=larger)
    return mb.real_div(x=a, y=larger), mb.real_div(x=b, y=larger), larger


@complex_op("Exp")
def exp(ctx: LoweringContext, x: Any) -> Complex:
    a, b = parts(x)
    size = mb.exp(x=a)
    if b is None:
        return Complex(size)
    return Complex(mb.mul(x=size, y=mb.cos(x=b)), mb.mul(x=size, y=mb.sin(x=b)))


@complex_op("Abs")
def absolute(ctx: LoweringContext, x: Any) -> Complex:
    a, b = parts(x)
    if b is None:
        return Complex(mb.abs(x=a))
    a, b, larger = _scaled(a, b)
    return Complex(mb.mul(x=mb.sqrt(x=mb.add(x=mb.mul(x=a, y=a), y=mb.mul(x=b, y=b))), y=larger))


@complex_op("AsType")
def astype(ctx: LoweringContext, x: Any) -> Any:
    if ctx.out.dtype == DTYPE:
        if ctx.sources[0].dtype == DTYPE:
            return Complex(*parts(x))
        real = x if isinstance(x, Var) else mb.const(val=x)
        return Complex(real if real.dtype == types.fp32 else mb.cast(x=real, dtype="fp32"))
    source = replace(ctx.sources[0], dtype="float32")
    return OPS["AsType"].lower(replace(ctx, sources=(source,)), parts(x)[0])


@lowers("Real")
def real_(ctx: LoweringContext, x: Any) -> Var:
    return mb.identity(x=parts(x)[0], name=ctx.name)


@lowers("Imag")
def imag_(ctx: LoweringContext, x: Any) -> Var:
    part = parts(x)[1]
    return mb.identity(x=np.zeros(ctx.out.shape, np.float32) if part is None else part, name=ctx.name)


@lowers("Conjugate")
def conjugate(ctx: LoweringContext, x: Any) -> Complex:
    real, imag = parts(x)
    return Complex(real, None if imag is None else mb.mul(x=imag, y=-1.0))


complex_op("Real")(real_)


complex_op("Imag")(imag_)


complex_op("Conjugate")(conjugate)
