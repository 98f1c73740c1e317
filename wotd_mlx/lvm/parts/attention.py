"""Causal softmax attention whose keys and values are kept from call to call."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

KeysValues = tuple[mx.array, mx.array]
"""Keys and values read so far, (B, H, L, D/H) each."""


def split_heads(x: mx.array, heads: int) -> mx.array:
    """(B, L, D) -> (B, H, L, D/H)."""
    B, L, D = x.shape
    return x.reshape(B, L, heads, D // heads).transpose(0, 2, 1, 3)


def merge_heads(x: mx.array) -> mx.array:
    """(B, H, L, D/H) -> (B, L, D)."""
    B, H, L, W = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, L, H * W)


def extend(past: KeysValues | None, keys: mx.array, values: mx.array) -> KeysValues:
    """Keys and values read so far, the new ones after them."""
    if past is None:
        return keys, values
    return mx.concatenate([past[0], keys], axis=2), mx.concatenate([past[1], values], axis=2)


def attend(queries: mx.array, known: KeysValues, dropout: nn.Dropout | None = None) -> mx.array:
    """softmax(q kᵀ / √W) v over what is no later than the query; the queries belong to the last positions of the keys.

    Args:
        dropout: what the softmax's weights go through in training.
    Shape:
        queries (B, H, L, W), keys and values (B, H or fewer, ≥ L, W), no fewer with dropout -> (B, H, L, W).
    """
    keys, values = known
    scale = queries.shape[-1] ** -0.5
    # MLX's fused attention has no dropout; outside of training there is nothing to drop.
    if dropout is not None and dropout.training and dropout._p_1 < 1:
        L, read = queries.shape[2], keys.shape[2]
        scores = (queries * scale) @ keys.swapaxes(-1, -2)
        seen = mx.arange(read) <= mx.arange(read - L, read)[:, None]
        weights = mx.softmax(mx.where(seen, scores, -mx.inf), axis=-1)
        out: mx.array = dropout(weights) @ values
        return out
    # A lone query is the newest and sees everything.
    mask = "causal" if queries.shape[2] > 1 else None
    return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
