"""The reference implementation of the Transformer: torch.nn.TransformerDecoder, both of its masks causal."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from converters.torch.names import Rule, both


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.dropout = nn.Dropout(cfg.dropout)
        layer = nn.TransformerDecoderLayer(
            cfg.width, cfg.heads, cfg.feed, cfg.dropout, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, cfg.depth, nn.LayerNorm(cfg.width))
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        L, W = x.shape[1:]
        x = self.dropout(x * math.sqrt(W) + _sinusoids(L, W).to(x))
        mask = nn.Transformer.generate_square_subsequent_mask(L, device=x.device, dtype=x.dtype)
        read = self.decoder(x, x, tgt_mask=mask, memory_mask=mask, tgt_is_causal=True, memory_is_causal=True)
        y: Tensor = self.head(read)
        return y


def _sinusoids(length: int, width: int) -> Tensor:
    """(L, W): sines in the even columns, cosines in the odd ones."""
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    angles = torch.outer(torch.arange(length, dtype=torch.float64), rates)
    table = torch.zeros(length, width, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    return table


def rules(cfg: Any) -> list[Rule]:
    """Names on both sides; query, key and value are packed alike."""
    pairs = [(f"norm{n + 1}", f"norms.{n}") for n in range(3)] + [("linear1", "up"), ("linear2", "down")]
    found = []
    for theirs, ours in (("self_attn", "self_attention"), ("multihead_attn", "cross_attention")):
        pairs.append((f"{theirs}.out_proj", f"{ours}.out"))
        found += [
            Rule(f"decoder.layers.{{}}.{theirs}.in_proj_{part}", f"layers.{{}}.{ours}.in_{part}")
            for part in ("weight", "bias")
        ]
    names = [(f"decoder.layers.{{}}.{theirs}", f"layers.{{}}.{ours}") for theirs, ours in pairs]
    names += [("embed", "embed"), ("decoder.norm", "norm"), ("head", "head")]
    return found + [rule for theirs, ours in names for rule in both(theirs, ours)]
