"""Gated feed-forward layer."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from wotd_mlx.kernels.activations import silu


class SwiGLU(nn.Module):
    """W_down (silu(W_gate x) ⊙ W_up x), without biases.

    Shape:
        x (B, L, D) -> (B, L, D).
    Reference:
        Shazeer, "GLU variants improve transformer", arXiv 2002.05202.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        y: mx.array = self.down(silu(self.gate(x)) * self.up(x))
        return y
