"""Fourier's transforms, as products with constant matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.complex import Complex, complex_op, parts
from converters.coreml.ops.registry import LoweringContext, lowers
from converters.graph import Array


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
        value = _along(value, axes[-1], _waves(ctx.sources[0].shape[axes[-1]], ctx.out.shape[axes[-1]]))
        axes = axes[:-1]
    for axis in axes[:-1] if real and inverse else axes:
        value = _along(value, axis, _waves(value.shape[axis], value.shape[axis], inverse))
    if real and inverse:
        return mb.identity(x=_real_along(value, axes[-1], ctx.out.shape[axes[-1]]), name=ctx.name)
    return value


def _waves(n: int, kept: int, inverse: bool = False) -> tuple[Array, Array]:
    """cos and ∓sin of 2πjk/n, (n, kept); of an inverse transform over n."""
    # The product of two integers modulo n keeps the angles small and exact.
    angle = 2 * np.pi * (np.outer(np.arange(n), np.arange(kept)) % n) / n
    share = 1 / n if inverse else 1
    sine = np.sin(angle) if inverse else -np.sin(angle)
    return _clean(np.cos(angle) * share), _clean(sine * share)


def _clean(wave: Array) -> Array:
    """Rounded where only rounding keeps it from 0: in half precision coremltools makes 6e-8 of 1e-16."""
    return np.where(np.abs(wave) < 1e-12, 0, wave).astype(np.float32)


def _along(x: Complex, axis: int, waves: tuple[Array, Array]) -> Complex:
    cos, sin = waves
    real, imag = _matmul(x.real, axis, cos), _matmul(x.real, axis, sin)
    if x.imag is None:
        return Complex(real, imag)
    return Complex(mb.sub(x=real, y=_matmul(x.imag, axis, sin)), mb.add(x=imag, y=_matmul(x.imag, axis, cos)))


def _real_along(x: Complex, axis: int, n: int) -> Var:
    """The real signal of length n whose first half of frequencies x holds; the other half mirrors it."""
    kept = x.shape[axis]
    weight = np.where((np.arange(kept) == 0) | (2 * np.arange(kept) == n), 1, 2)[:, None]
    cos, sin = (wave.T * weight for wave in _waves(n, kept, inverse=True))
    real = _matmul(x.real, axis, cos.astype(np.float32))
    return real if x.imag is None else mb.sub(x=real, y=_matmul(x.imag, axis, sin.astype(np.float32)))


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
