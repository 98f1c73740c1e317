"""Normalisations."""

from __future__ import annotations

import numpy as np

from converters.coreml.executor.ops.common import Array, axes_of, per_channel
from converters.coreml.executor.registry import Ints, op


@op("layer_norm")
def layer_norm(
    x: Array, axes: Ints | None = None, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5
) -> Array:
    """γ (x − μ) / √(σ² + ε) + β, with μ and σ² over ``axes``, which γ and β span."""
    over = axes_of(axes, x.ndim)
    centred = x - np.mean(x, axis=over, keepdims=True)
    y = centred / np.sqrt(np.mean(np.square(centred), axis=over, keepdims=True) + np.float32(epsilon))
    span = [x.shape[a] if a in over else 1 for a in range(x.ndim)]
    if gamma is not None:
        y = y * gamma.reshape(span)
    return np.asarray(y if beta is None else y + beta.reshape(span))


@op("instance_norm")
def instance_norm(x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5) -> Array:
    """γ_c (x − μ) / √(σ² + ε) + β_c, with μ and σ² over all axes behind the channel (axis 1)."""
    over = tuple(range(2, x.ndim))
    centred = x - np.mean(x, axis=over, keepdims=True)
    y = centred / np.sqrt(np.mean(np.square(centred), axis=over, keepdims=True) + np.float32(epsilon))
    if gamma is not None:
        y = y * per_channel(gamma, x)
    return np.asarray(y if beta is None else y + per_channel(beta, x))


@op("batch_norm")
def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    epsilon: float = 1e-5,
) -> Array:
    """γ_c (x − mean_c) / √(variance_c + ε) + β_c, the channel being axis 1."""
    scale = 1 / np.sqrt(per_channel(variance, x) + np.float32(epsilon))
    if gamma is not None:
        scale = scale * per_channel(gamma, x)
    y = (x - per_channel(mean, x)) * scale
    return np.asarray(y if beta is None else y + per_channel(beta, x))


@op("l2_norm")
def l2_norm(x: Array, epsilon: float = 1e-6) -> Array:
    """x / √(Σ x² + ε), the sum being over the last three axes."""
    total = np.sum(np.square(x), axis=(-3, -2, -1), keepdims=True)
    return np.asarray(x / np.sqrt(total + np.float32(epsilon)))


@op(
    "local_response_norm",
    needs=lambda x, size, **_: x.size // max(1, x.shape[1]) * (x.shape[1] + int(size)),
    reads="size",
)
def local_response_norm(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + α/size · Σ x²)^β, the sum being over the ``size`` channels (axis 1) around each."""
    before = (size - 1) // 2
    width = [(0, 0)] * x.ndim
    width[1] = (before, size - 1 - before)
    squares = np.pad(np.square(x), width)
    total = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1).sum(axis=-1)
    return np.asarray(x / np.power(np.float32(k) + np.float32(alpha / size) * total, np.float32(beta)))
