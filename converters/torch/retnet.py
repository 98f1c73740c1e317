"""The RetNet's reference implementation: yet-another-retnet's decoder layers, mended to the paper."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import nn
from yet_another_retnet import retention
from yet_another_retnet.retnet import RetNetDecoderLayer

from converters.torch.names import SAME, Layout, Rule, both


def decay_gammas(num_heads: int, device: Any = None, dtype: Any = None) -> torch.Tensor:
    """1 − 2^(−5−h), the paper's section 3.1; (H,)."""
    return 1 - 2.0 ** (-5 - torch.arange(num_heads, device=device, dtype=dtype))


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D) by yet-another-retnet 0.5.1, parallel form.

    What is mended there, by the paper (arXiv 2307.08621):

    - its decays are spread from 1 − 1/32 to 1 − 1/512 over however many heads there are, where section 3.1 has
      1 − 2^(−5−h): they agree for five heads alone;
    - values and gate are as wide as the model, where section 3.1 has twice that (so its "1.3B" is smaller), and the
      projections have biases, which no equation of the paper has;
    - one setting serves the gate and the feed-forward layer; the paper has swish in the one, GELU in the other;
    - there is no norm before the last layer, which the paper's own code (torchscale) has;
    - its decoder copies one layer, so all start with the same weights; here each has its own.
    """

    def __init__(self, cfg: Any):
        super().__init__()
        wide = cfg.widen * cfg.width
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = nn.ModuleList()
        for _ in range(cfg.depth):
            layer = RetNetDecoderLayer(cfg.width, cfg.heads, dim_feedforward=wide, dropout=cfg.dropout)
            layer.activation = nn.functional.gelu
            block = retention.MultiScaleRetention(cfg.width, cfg.heads, dropout=0.0, bias=False, activation="swish")
            block.v_proj, block.g_proj = (nn.Linear(cfg.width, wide, bias=False) for _ in range(2))
            block.out_proj = nn.Linear(wide, cfg.width, bias=False)
            block.group_norm = nn.GroupNorm(cfg.heads, wide, eps=1e-6, affine=False)
            block.register_buffer("thetas", block.thetas, persistent=False)
            for linear in (block.q_proj, block.k_proj, block.v_proj, block.g_proj):
                nn.init.xavier_uniform_(linear.weight, gain=2**-2.5)
            layer.retention = block
            self.layers.append(layer)
        self.norm = nn.LayerNorm(cfg.width, eps=1e-6)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, L, D) -> (B, L, D)."""
        mended = {
            "_build_decay_gammas": decay_gammas,
            # It remembers the last mask by its sizes alone, and would answer with one of the wrong decays.
            "_build_decay_mask": retention._build_decay_mask.__wrapped__,
        }
        x = self.embed(x)
        with mock.patch.multiple(retention, **mended):
            for layer in self.layers:
                x = layer.forward_parallel(x)
        y: torch.Tensor = self.head(self.norm(x))
        return y


def rules(cfg: Any) -> list[Rule]:
    """The reference rotates neighbours, ours the two halves of a head, so rows of queries and keys change places."""
    pairs, width = cfg.width // cfg.heads // 2, cfg.width

    halves = Layout(
        lambda w: w.reshape(cfg.heads, pairs, 2, width).swapaxes(1, 2).reshape(width, width),
        lambda w: w.reshape(cfg.heads, 2, pairs, width).swapaxes(1, 2).reshape(width, width),
    )
    ours = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "gate": "g_proj", "out": "out_proj"}
    found = [
        Rule(
            f"layers.{{}}.retention.{theirs}.weight",
            f"layers.{{}}.retention.{name}.weight",
            halves if name in ("query", "key") else SAME,
        )
        for name, theirs in ours.items()
    ]
    same = {"retention_norm": "norm1", "feed_norm": "norm2", "up": "linear1", "down": "linear2"}
    for name, theirs in same.items():
        found += both(f"layers.{{}}.{theirs}", f"layers.{{}}.{name}")
    return [*found, *both("embed"), *both("norm"), *both("head")]
