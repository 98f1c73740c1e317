"""Reference implementation of Base-LCM: transformers' Llama between two linear layers, with the normaliser around them.

Llama is the paper's decoder: pre-norm RMSNorm, rotary positions on the halves of each head, SwiGLU. The two-tower mode
has no third party's implementation (the authors' release needs fairseq2): it is checked against the paper's equations.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from converters.torch.names import Rule, both


class Reference(torch.nn.Module):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(cfg.dims))
        self.register_buffer("spread", torch.ones(cfg.dims))
        self.embed = torch.nn.Linear(cfg.dims, cfg.width)
        self.decoder = LlamaModel(
            LlamaConfig(
                vocab_size=1,
                hidden_size=cfg.width,
                intermediate_size=cfg.inner,
                num_hidden_layers=cfg.depth,
                num_attention_heads=cfg.heads,
                num_key_value_heads=cfg.heads,
                rms_norm_eps=1e-5,
                attention_bias=True,
                rope_parameters={"rope_type": "default", "rope_theta": cfg.base},
                use_cache=False,
                pad_token_id=None,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        # Vectors need no token table.
        self.decoder.embed_tokens = torch.nn.Identity()
        self.head = torch.nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.decoder(inputs_embeds=self.embed((x - self.centre) / self.spread)).last_hidden_state
        return self.head(h) * self.spread + self.centre


def rules(cfg: Any) -> list[Rule]:
    """Names on both sides, of the base mode."""
    theirs, ours = "decoder.layers.{}", "layers.{}"
    attention = {"q": "query", "k": "key", "v": "value", "o": "out"}
    return [
        Rule("centre", "centre"),
        Rule("spread", "spread"),
        *both("embed"),
        Rule(f"{theirs}.input_layernorm.weight", f"{ours}.attention_norm.weight"),
        *(
            rule
            for letter, name in attention.items()
            for rule in both(f"{theirs}.self_attn.{letter}_proj", f"{ours}.attention.{name}")
        ),
        Rule(f"{theirs}.post_attention_layernorm.weight", f"{ours}.feed_norm.weight"),
        *(Rule(f"{theirs}.mlp.{p}_proj.weight", f"{ours}.feed.{p}.weight") for p in ("gate", "up", "down")),
        Rule("decoder.norm.weight", "norm.weight"),
        *both("head"),
    ]
