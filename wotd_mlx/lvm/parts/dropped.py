"""Causal softmax attention that in training drops some of its weights."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from wotd_mlx.lvm.parts.attention import KeysValues, attend


def attend_dropped(queries: mx.array, known: KeysValues, dropout: nn.Dropout) -> mx.array:
    """As :func:`wotd_mlx.lvm.parts.attention.attend`, the softmax's weights going through ``dropout``.

    Shape:
        queries (B, H, L, W), keys and values (B, H, ≥ L, W) -> (B, H, L, W).
    """
    # MLX's fused attention has no dropout; outside of training there is nothing to drop.
    if not dropout.training or dropout._p_1 == 1:
        return attend(queries, known)
    keys, values = known
    L, read = queries.shape[2], keys.shape[2]
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.swapaxes(-1, -2)
    seen = mx.arange(read) <= mx.arange(read - L, read)[:, None]
    weights = mx.softmax(mx.where(seen, scores, -mx.inf), axis=-1)
    out: mx.array = dropout(weights) @ values
    return out
