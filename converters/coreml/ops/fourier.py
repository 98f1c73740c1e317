"""Fourier's transforms, as products with constant matrices."""

from __future__ import annotations

from typing import Any

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.complex import Complex, complex_op, parts
from converters.coreml.ops.registry import LoweringContext, lowers
from converters.graph import Array
from converters.primitives.fourier import mirrored, waves


@lowers(
    "FFT",
    emits={"rfft": ["matmul"]},
    note="as products with the matrices of cosines and sines: n² numbers each; complex only inside a function",
)
def fft(ctx: LoweringContext, x: Any) -> Any:
    axes, inverse, real, _ = ctx.args
    axes = [a % len(ctx.out.shape) for a in axes]
    value = Complex(*parts(x))
    if real and not inverse:
        value = _along(value, axes[-1], waves(ctx.sources[0].shape[axes[-1]], ctx.out.shape[axes[-1]]))
        axes = axes[:-1]
    for axis in axes[:-1] if real and inverse else axes:
        value = _along(value, axis, waves(value.shape[axis], value.shape[axis], inverse))
    if real and inverse:
        return mb.identity(x=_real_along(value, axes[-1], ctx.out.shape[axes[-1]]), name=ctx.name)
    return value


def _along(x: Complex, axis: int, waves: tuple[Array, Array]) -> Complex:
    cos, sin = waves
    real, imag = _matmul(x.real, axis, cos), _matmul(x.real, axis, sin)
    if x.imag is None:
        return Complex(real, imag)
    return Complex(mb.sub(x=real, y=_matmul(x.imag, axis, sin)), mb.add(x=imag, y=_matmul(x.imag, axis, cos)))


def _real_along(x: Complex, axis: int, n: int) -> Var:
    """The real signal of length n whose first half of frequencies x holds; the other half mirrors it."""
    cos, sin = mirrored(x.shape[axis], n)
    real = _matmul(x.real, axis, cos)
    return real if x.imag is None else mb.sub(x=real, y=_matmul(x.imag, axis, sin))


def _matmul(x: Var, axis: int, matrix: Array) -> Var:
    """x times a matrix along one axis."""
    if x.rank == 1:
        return mb.squeeze(x=mb.matmul(x=mb.expand_dims(x=x, axes=[0]), y=matrix), axes=[0])
    if axis == x.rank - 1:
        return mb.matmul(x=x, y=matrix)
    swap = list(range(x.rank))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    return mb.transpose(x=mb.matmul(x=mb.transpose(x=x, perm=swap), y=matrix), perm=swap)


complex_op("FFT")(fft)
