"""Gated feed-forward layer."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from wotd_mlx.lvm.parts.tanh import choose


class SwiGLU(nn.Module):
    """W_down (silu(W_gate x) ⊙ W_up x), without biases; silu(x) = ½ x (1 + tanh ½ x).

    Args:
        exact: take MLX's own tanh even where the CPU has a faster one; an export sets it.
    Shape:
        x (B, L, D) -> (B, L, D).
    Reference:
        Shazeer, "GLU variants improve transformer", arXiv 2002.05202.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.exact = False
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        tanh = choose(self.exact, self.training)
        half = 0.5 * self.gate(x)
        y: mx.array = self.down((half + half * tanh(half)) * self.up(x))
        return y
