"""Cross-entropy: MLX's own, or on a CPU additions and multiplications in a vector loop.

MLX's CPU kernels call the scalar ``exp`` for it, 12 to 20 ns a number: with SwiGLU a quarter of a training step of
SmolLM2.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.kernels.choice import either
from wotd_mlx.kernels.compile import compiled
from wotd_mlx.kernels.exponential import exp_below

_exp = compiled(exp_below)


def _shares(logits: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """exp(logit - top) (A, V), their sum (A, 1) and the top (A, 1)."""
    top = logits.max(axis=-1, keepdims=True)
    shares = _exp(logits, top, mx.array(1.0))
    return shares, shares.sum(axis=-1, keepdims=True), top


def _cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    _, total, top = _shares(logits)
    return (mx.log(total) + top - mx.take_along_axis(logits, targets[:, None], axis=-1))[:, 0]


def _slope(primals: Any, dy: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
    """d/dlogits = (softmax - one-hot of the target) dy."""
    logits, targets = primals
    shares, total, _ = _shares(logits)
    slope = shares / total * dy[:, None]
    at = targets[:, None]
    slope = mx.put_along_axis(slope, at, mx.take_along_axis(slope, at, axis=-1) - dy[:, None], axis=-1)
    return slope, mx.zeros_like(targets)


_fast: Any = mx.custom_function(_cross_entropy)
_fast.vjp(_slope)
cross_entropy = either(nn.losses.cross_entropy, _fast)
"""logits (A, V) float32, targets (A,) int -> −log softmax at the targets (A,), within 1e-5."""
