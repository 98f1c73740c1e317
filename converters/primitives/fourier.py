"""Fourier's transforms, as products with constant matrices."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from converters.graph import Array, Node
from converters.primitives.registry import Case, primitive


def _fft(node: Node, x: mx.array) -> mx.array:
    axes, inverse, real, _ = node.args
    if real and inverse:
        return mx.fft.irfftn(x, s=tuple(node.out.shape[a] for a in axes), axes=axes)
    function = mx.fft.rfftn if real else mx.fft.ifftn if inverse else mx.fft.fftn
    return function(x, axes=axes)


primitive(
    "FFT",
    _fft,
    [
        Case("rfft", lambda x: mx.abs(mx.fft.rfft(x)), [(3, 16)]),
        Case("rfft_first", lambda x: mx.abs(mx.fft.rfft(x, axis=0)), [(9, 4)]),
        Case("rfft_vector", lambda x: mx.abs(mx.fft.rfft(x)), [(9,)]),
        Case("rfft_longer", lambda x: mx.imag(mx.fft.rfft(x, n=12)), [(2, 9)]),
        Case("fft", lambda x: mx.imag(mx.fft.fft(x)), [(3, 12)]),
        Case("fft2", lambda x: mx.abs(mx.fft.fft2(x)), [(2, 5, 6)]),
        Case("there_and_back", lambda x: mx.real(mx.fft.ifft(mx.fft.fft(x) * (1 + 1j))), [(3, 7)]),
        Case("ortho", lambda x: mx.real(mx.fft.fft(x, norm="ortho")), [(3, 8)]),
        Case("irfft", lambda x: mx.fft.irfft(mx.fft.rfft(x) * (1 - 1j)), [(3, 8)]),
        Case("irfft_odd", lambda x: mx.fft.irfft(mx.fft.rfft(x) * (1 - 1j), n=9), [(3, 9)]),
        Case("irfft_real", lambda x: mx.fft.irfft(mx.abs(mx.fft.rfft(x)).astype(mx.complex64)), [(3, 8)]),
        Case("rfft2", lambda x: mx.fft.irfft2(mx.fft.rfft2(x) * (2 + 1j)), [(6, 8)]),
        Case("shift", lambda x: mx.real(mx.fft.fftshift(mx.fft.fft(x))), [(3, 8)]),
        Case("stft", lambda x: mx.abs(mx.fft.stft(x, n_fft=8)), [(40,)]),
    ],
)


def waves(n: int, kept: int, inverse: bool = False) -> tuple[Array, Array]:
    """cos and ∓sin of 2πjk/n, (n, kept); of an inverse transform over n."""
    # The product of two integers modulo n keeps the angles small and exact.
    angle = 2 * np.pi * (np.outer(np.arange(n), np.arange(kept)) % n) / n
    share = 1 / n if inverse else 1
    sine = np.sin(angle) if inverse else -np.sin(angle)
    return _clean(np.cos(angle) * share), _clean(sine * share)


def _clean(wave: Array) -> Array:
    """Rounded where only rounding keeps it from 0: of 1e-16 half precision would make 6e-8."""
    return np.where(np.abs(wave) < 1e-12, 0, wave).astype(np.float32)


def mirrored(kept: int, n: int) -> tuple[Array, Array]:
    """What the first ``kept`` frequencies of a real signal of length n give of it, (kept, n); the rest mirrors them."""
    weight = np.where((np.arange(kept) == 0) | (2 * np.arange(kept) == n), 1, 2)[:, None]
    cos, sin = (wave.T * weight for wave in waves(n, kept, inverse=True))
    return cos.astype(np.float32), sin.astype(np.float32)
