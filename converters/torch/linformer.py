"""The Linformer of the linformer package 0.2.3, each position run on the sequence up to it.

The package has no causal form: a layer's slots hold the whole sequence. Run on a prefix it takes the projections'
first rows, so its last position is what a causal model may know there. The reference does so at each position of each
layer, a loop that costs L times as much; ``fast=True`` computes the same at once with masks, from the package's
weights.
"""

from __future__ import annotations

from typing import Any

import torch
from linformer import Linformer, LinformerSelfAttention

from converters.torch.names import Rule, both


def prefix_attention(attention: LinformerSelfAttention, x: torch.Tensor) -> torch.Tensor:
    """The package's layer on each prefix of x (B, L, D), its last position kept -> (B, L, D)."""
    return torch.cat([attention(x[:, : t + 1])[:, -1:] for t in range(x.shape[1])], dim=1)


def masked_attention(attention: LinformerSelfAttention, x: torch.Tensor) -> torch.Tensor:
    """The same in one go: x (B, L, D) -> (B, L, D), with L² numbers in memory."""
    B, L, _ = x.shape
    q, k, v = (
        part(x).view(B, L, attention.heads, -1).transpose(1, 2)
        for part in (attention.to_q, attention.to_k, attention.to_v)
    )
    e, f = attention.proj_k[:L], attention.proj_v[:L]
    dots = (q @ k.transpose(-1, -2)).tril() @ e * attention.dim_head**-0.5
    weights = attention.dropout(dots.softmax(dim=-1))
    out = (weights @ f.T).tril() @ v
    return attention.to_out(out.transpose(1, 2).reshape(B, L, -1))


class Reference(torch.nn.Module):
    """The package's blocks between linear layers, with positions as in its language model and a last norm."""

    def __init__(self, cfg: Any, fast: bool = False):
        super().__init__()
        self.attend = masked_attention if fast else prefix_attention
        self.embed = torch.nn.Linear(cfg.dims, cfg.width)
        self.position = torch.nn.Embedding(cfg.longest, cfg.width)
        self.blocks = Linformer(
            cfg.width, cfg.longest, cfg.depth, k=cfg.slots, heads=cfg.heads, dropout=cfg.dropout
        ).net  # fmt: skip
        self.norm = torch.nn.LayerNorm(cfg.width)
        self.head = torch.nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, L, D) -> predictions (B, L, D)."""
        x = self.embed(x) + self.position.weight[: x.shape[1]]
        for attention, forward in self.blocks.layers:
            x = x + self.attend(attention.fn, attention.norm(x))
            x = x + forward(x)
        return self.head(self.norm(x))


def rules(cfg: Any) -> list[Rule]:
    """Which weight is which; none is laid out differently."""
    attention, forward = "blocks.layers.{}.0", "blocks.layers.{}.1"
    return [
        Rule("position.weight", "position.weight"),
        Rule(f"{attention}.fn.to_q.weight", "layers.{}.attention.query.weight"),
        Rule(f"{attention}.fn.to_k.weight", "layers.{}.attention.key.weight"),
        Rule(f"{attention}.fn.to_v.weight", "layers.{}.attention.value.weight"),
        Rule(f"{attention}.fn.proj_k", "layers.{}.attention.key_rows"),
        Rule(f"{attention}.fn.proj_v", "layers.{}.attention.value_rows"),
        *both("embed"),
        *both(f"{attention}.norm", "layers.{}.attention_norm"),
        *both(f"{attention}.fn.to_out", "layers.{}.attention.out"),
        *both(f"{forward}.norm", "layers.{}.forward_norm"),
        *both(f"{forward}.fn.w1", "layers.{}.up"),
        *both(f"{forward}.fn.w2", "layers.{}.down"),
        *both("norm"),
        *both("head"),
    ]
