"""Twin of Base-LCM: transformers' Llama between two linear layers, with the normaliser around them.

Llama is the paper's decoder: pre-norm RMSNorm, rotary positions on the halves of each head, SwiGLU. The two-tower mode
has no third party's twin (the authors' release needs fairseq2): it is checked against the paper's equations.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaModel

from converters.torch.names import Rule


class Twin(torch.nn.Module):
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
    both = ("centre", "spread", "embed.weight", "embed.bias", "head.weight", "head.bias")
    layer = {
        "input_layernorm.weight": "attention_norm.weight",
        "post_attention_layernorm.weight": "feed_norm.weight",
        **{
            f"self_attn.{theirs}_proj.{kind}": f"attention.{ours}.{kind}"
            for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "out"))
            for kind in ("weight", "bias")
        },
        **{f"mlp.{name}_proj.weight": f"feed.{name}.weight" for name in ("gate", "up", "down")},
    }
    return [
        *(Rule(name, name) for name in both),
        Rule("decoder.norm.weight", "norm.weight"),
        *(Rule(f"decoder.layers.{{}}.{theirs}", f"layers.{{}}.{ours}") for theirs, ours in layer.items()),
    ]
