"""Blocks between two linear layers: the frame of the reference implementations that are written from papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Stack(nn.Module):
    """x (B, L, D) -> (B, L, D): ``depth`` blocks of the model's width, a last norm."""

    def __init__(self, cfg: Any, block: Callable[[Any], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.blocks = nn.Sequential(*[block(cfg) for _ in range(cfg.depth)])
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.norm(self.blocks(self.embed(x))))
        return y
