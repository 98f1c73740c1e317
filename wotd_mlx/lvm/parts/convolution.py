"""Causal convolutions as long as the sequence, one filter a channel."""

from __future__ import annotations

import mlx.core as mx

SHORT = 64
"""Up to this length a product with a Toeplitz matrix is faster on a CPU than three transforms, and exports plainly."""


def convolve(x: mx.array, kernel: mx.array, last: int | None = None) -> mx.array:
    """y_t = sum over s ≤ t of kernel_{t-s} ⊙ x_s, at the last so many positions only, or at all.

    Up to ``SHORT`` positions by matrix products, beyond by FFT in O(L log L) time and O(L) memory.

    Shape:
        x (B, L, D), kernel (D, L) -> (B, last or L, D).
    """
    L = x.shape[1]
    last = last or L
    if last == 1:
        return (x * kernel[:, ::-1].T).sum(axis=1, keepdims=True)
    if L <= SHORT:
        return _by_matrices(x, kernel, last)
    return _by_transforms(x, kernel)[:, L - last :]


def _by_matrices(x: mx.array, kernel: mx.array, last: int) -> mx.array:
    """As x @ T, where T (D, L, last) has kernel_{t-s} at row s, column t."""
    D, L = kernel.shape
    # Rows of 2 L numbers read as rows of 2 L - 1 are each one position further on: a Toeplitz matrix without a gather.
    rows = mx.broadcast_to(mx.pad(kernel, [(0, 0), (0, L)])[:, None], (D, L, 2 * L)).reshape(D, 2 * L * L)
    matrix = rows[:, : L * (2 * L - 1)].reshape(D, L, 2 * L - 1)[:, :, L - last : L]
    return (x.transpose(2, 0, 1) @ matrix).transpose(1, 2, 0)


def _by_transforms(x: mx.array, kernel: mx.array) -> mx.array:
    """Through the frequencies of both, with room for the convolution not to wrap around."""
    L = x.shape[1]
    n = 1 << (2 * L - 2).bit_length()
    product = mx.fft.rfft(x.swapaxes(1, 2), n=n) * mx.fft.rfft(kernel, n=n)
    return mx.fft.irfft(product, n=n)[..., :L].swapaxes(1, 2)
