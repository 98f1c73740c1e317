"""Fourier's transforms, as products with constant matrices."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers
from converters.primitives.fourier import mirrored, waves


@lowers("FFT", note="as products with the matrices of cosines and sines: n² numbers each; in float32")
def fft(ctx: Context, x: Value) -> Value:
    axes, inverse, whole, _ = ctx.args
    axes = [a % len(ctx.out.shape) for a in axes]
    if whole and not inverse:
        cos, sin = waves(ctx.sources[0].shape[axes[-1]], ctx.out.shape[axes[-1]])
        x = b.cast(x, np.float32)
        x = dialect.create_complex(_along(x, axes[-1], cos), _along(x, axes[-1], sin))
        axes = axes[:-1]
    for axis in axes[:-1] if whole and inverse else axes:
        side = b.shape_of(x)[axis]
        cos, sin = waves(side, side, inverse)
        real, imag = dialect.real_part(x), dialect.imaginary_part(x)
        x = dialect.create_complex(
            b.sub(_along(real, axis, cos), _along(imag, axis, sin)),
            b.add(_along(real, axis, sin), _along(imag, axis, cos)),
        )
    if not (whole and inverse):
        return x
    cos, sin = mirrored(b.shape_of(x)[axes[-1]], ctx.out.shape[axes[-1]])
    real, imag = dialect.real_part(x), dialect.imaginary_part(x)
    return b.cast(b.sub(_along(real, axes[-1], cos), _along(imag, axes[-1], sin)), ctx.real)


def _along(x: Value, axis: int, matrix: np.ndarray) -> Value:
    """x times a matrix along one axis."""
    if b.rank(x) == 1:
        return b.reshape(b.matmul(b.reshape(x, (1, *b.shape_of(x))), matrix), (matrix.shape[1],))
    swap = list(range(b.rank(x)))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    return b.transpose(b.matmul(b.transpose(x, swap), matrix), swap)
