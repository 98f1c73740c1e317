"""Mamba-2's reference implementation: transformers' ``Mamba2Model`` between two linear layers, on its plain torch path.

Seen in transformers 5.23, and of no effect here: its single-step form leaves ``time_step_limit`` out, which its chunked
form heeds; it repeats B and C once a head, and fills a sequence up to a whole chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import Mamba2Config, Mamba2Model

from converters.torch.names import TAPS, Rule, both


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D), without a cache."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.backbone = Mamba2Model(
            Mamba2Config(
                vocab_size=1,
                pad_token_id=None,
                hidden_size=cfg.width,
                num_hidden_layers=cfg.depth,
                num_heads=cfg.heads,
                head_dim=cfg.head_width,
                state_size=cfg.states,
                expand=cfg.expand,
                conv_kernel=cfg.kernel,
                n_groups=1,
                layer_norm_epsilon=cfg.eps,
                chunk_size=cfg.chunk,
                use_cache=False,
            )
        )
        # Vectors come in ready: the table of tokens is no part of the model.
        self.backbone.embeddings = nn.Identity()
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.backbone(inputs_embeds=self.embed(x)).last_hidden_state)
        return y


def mixer_rules(theirs: str, ours: str) -> list[Rule]:
    """Names of one state-space mixer; Bamba's bear the same."""
    return [
        Rule(f"{theirs}.in_proj.weight", f"{ours}.in_proj.weight"),
        Rule(f"{theirs}.conv1d.weight", f"{ours}.conv.weight", TAPS),
        Rule(f"{theirs}.conv1d.bias", f"{ours}.conv.bias"),
        Rule(f"{theirs}.dt_bias", f"{ours}.dt_bias"),
        Rule(f"{theirs}.A_log", f"{ours}.a_log"),
        Rule(f"{theirs}.D", f"{ours}.skip"),
        Rule(f"{theirs}.norm.weight", f"{ours}.norm.weight"),
        Rule(f"{theirs}.out_proj.weight", f"{ours}.out_proj.weight"),
    ]


def rules(cfg: Any) -> list[Rule]:
    """Names of all weights."""
    return [
        *both("embed"),
        *both("head"),
        Rule("backbone.layers.{}.norm.weight", "layers.{}.norm.weight"),
        *mixer_rules("backbone.layers.{}.mixer", "layers.{}.mixer"),
        Rule("backbone.norm_f.weight", "norm.weight"),
    ]
