"""Attention without dropout: MLX's own, or for many numbers on a CPU a softmax in additions and multiplications.

MLX's CPU kernels call the scalar ``exp`` (12 ns a number), where an addition takes 0.3: for a batch of texts it would
take as long as all matrix products.
"""

from __future__ import annotations

import mlx.core as mx

from wotd_mlx.kernels.choice import either
from wotd_mlx.kernels.compile import compiled
from wotd_mlx.kernels.exponential import exp_below

_FEW = 50_000
"""Numbers in q, k and v below which one scalar kernel is faster than several vector ones: a word or two."""

# Lengths of texts vary, each with another shape of weights, and tracing one takes 1 to 5 ms.
_exp = compiled(exp_below, any_shape=True)


def _plain(qkv: mx.array, scale: float, bias: mx.array | None) -> mx.array:
    return mx.fast.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], scale=scale, mask=bias)


def _fast(qkv: mx.array, scale: float, bias: mx.array | None) -> mx.array:
    # In one go, since the CPU's batched products would otherwise copy each of q, k and v on their own.
    qkv = mx.contiguous(qkv)
    if qkv.size < _FEW:
        return _plain(qkv, scale, bias)
    q, k, v = qkv
    scores = q @ k.swapaxes(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = _exp(scores, scores.max(axis=-1, keepdims=True), mx.array(scale))
    return (weights @ v) / weights.sum(axis=-1, keepdims=True)


attention = either(_plain, _fast)
"""Query, key and value (3, B, H, L, D/H), scale, bias (B, 1, 1, L) or None -> softmax(q kᵀ · scale + bias) v, (B, H, L,
D/H)."""
