"""A Transformer's block, norm first, around any attention that keeps what it has read."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import gelu


class Block(nn.Module):
    r"""Attention and a feed-forward part of two layers, each after a layer norm and beside a residual.

    .. math::
        x \leftarrow x + A(N_1 x), \quad x \leftarrow x + W_2\, \mathrm{gelu}(W_1 N_2 x)

    Args:
        attention: called (x, its state, position) -> (B, L, D), its state.
        dropout: within the feed-forward part, and after the attention where ``drops_attention``.
    Shape:
        x (B, L, D), state -> (B, L, D), the state after it.
    """

    def __init__(self, width: int, attention: nn.Module, dropout: float, drops_attention: bool):
        super().__init__()
        self._drops_attention = drops_attention
        self.attention_norm = nn.LayerNorm(width)
        self.attention = attention
        self.forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)

    def __call__(self, x: mx.array, state: Any, position: int) -> tuple[mx.array, Any]:
        seen, state = self.attention(self.attention_norm(x), state, position)
        x = x + (self.dropout(seen) if self._drops_attention else seen)
        return x + self.down(self.dropout(gelu(self.up(self.forward_norm(x))))), state
