"""The reference implementation of the GRU: torch.nn.GRU between two linear layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from converters.torch.names import Rule, both


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.gru = nn.GRU(cfg.width, cfg.width, cfg.depth, batch_first=True, dropout=cfg.dropout)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.gru(self.embed(x))[0])
        return y


def rules(cfg: Any) -> list[Rule]:
    """Names on both sides; each layer's gates are packed alike."""
    inside = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = [Rule(f"gru.{part}_l{{}}", f"layers.{{}}.{part}") for part in inside]
    return [*both("embed"), *layers, *both("head")]
