"""The hybrid's reference implementation: transformers' ``BambaModel`` between two linear layers, on its torch path.

Seen in transformers 5.23, and of no effect here: with a cache and no ``position_ids`` its positions begin anew at 0 in
each call; its single-step form leaves ``time_step_limit`` out, which its chunked form heeds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import BambaConfig, BambaModel

from converters.torch.mamba2 import mixer_rules
from converters.torch.names import Rule, both


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D), without a cache."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.model = BambaModel(
            BambaConfig(
                vocab_size=1,
                pad_token_id=None,
                hidden_size=cfg.width,
                intermediate_size=cfg.hidden,
                num_hidden_layers=cfg.depth,
                num_attention_heads=cfg.heads,
                num_key_value_heads=cfg.key_heads,
                attn_layer_indices=cfg.attending,
                rms_norm_eps=cfg.eps,
                mamba_n_heads=cfg.ssd_heads,
                mamba_d_head=cfg.head_width,
                mamba_n_groups=1,
                mamba_d_state=cfg.states,
                mamba_d_conv=cfg.kernel,
                mamba_expand=cfg.expand,
                mamba_chunk_size=cfg.chunk,
                rope_parameters={"rope_type": "default", "rope_theta": cfg.rotary_base, "partial_rotary_factor": 0.5},
                use_cache=False,
            )
        )
        # Vectors come in ready: the table of tokens is no part of the model.
        self.model.embed_tokens = nn.Identity()
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.model(inputs_embeds=self.embed(x)).last_hidden_state)
        return y


def rules(cfg: Any) -> list[Rule]:
    """Names of all weights."""
    theirs, ours = "model.layers.{}", "layers.{}"
    return [
        *both("embed"),
        *both("head"),
        *mixer_rules(f"{theirs}.mamba", f"{ours}.mixer"),
        *(Rule(f"{theirs}.self_attn.{p}_proj.weight", f"{ours}.mixer.{p}_proj.weight") for p in "qkvo"),
        Rule(f"{theirs}.input_layernorm.weight", f"{ours}.mixer_norm.weight"),
        Rule(f"{theirs}.pre_ff_layernorm.weight", f"{ours}.mlp_norm.weight"),
        *(
            Rule(f"{theirs}.feed_forward.{p}_proj.weight", f"{ours}.mlp.{p}_proj.weight")
            for p in ("gate", "up", "down")
        ),
        Rule("model.final_layernorm.weight", "norm.weight"),
    ]
