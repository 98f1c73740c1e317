"""Layers of gated recurrence between two linear ones, as the LSTM and the GRU have them."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
from mlx import nn

from wotd_mlx.dropout import Dropout
from wotd_mlx.lvm.parts import base


def uniform(width: int, *shape: int) -> mx.array:
    """Weights of a layer of ``width`` units as they start, evenly between ± 1/√width."""
    bound = width**-0.5
    return mx.random.uniform(-bound, bound, shape)


class Predictor(base.Predictor):
    """Whole sequences and steps are the same recurrence.

    Args:
        layers: each called (x (B, L, W), its state or None) -> (B, L, W), its state.
        dropout: acts between layers, as in torch.nn.
    Shape:
        x (B, L, D) -> (B, L, D); the state has that of each layer.
    """

    def __init__(self, dims: int, width: int, depth: int, dropout: float, layer: Callable[[int], nn.Module]):
        super().__init__()
        self.embed = nn.Linear(dims, width)
        self.layers = [layer(width) for _ in range(depth)]
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(width, dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        """x (B, L, D) -> predictions (B, L, D) and the state."""
        h, after = self.embed(x), []
        for n, (layer, before) in enumerate(zip(self.layers, state or [None] * len(self.layers), strict=True)):
            h, known = self.through(layer, self.dropout(h) if n else h, before)
            after.append(known)
        return self.head(h), after
