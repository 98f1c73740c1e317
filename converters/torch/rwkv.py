"""RWKV-7's reference implementation: rwkv7-hf's model, whose layers are read step by step."""

from __future__ import annotations

from typing import Any

import torch
from rwkv7_hf.configuration_rwkv7 import RWKV7Config
from rwkv7_hf.modeling_rwkv7 import RWKV7Model
from torch import nn

from converters.torch.names import Rule, both, reshaped


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D) by rwkv7-hf 0.9.0 in place of the token table's vectors.

    No fault was found in it, but it starts mixes, key scales and bonuses at zero, where removal keys can't be
    normalised: it is meant to be loaded, never trained from its start. So all weights start at random here. Products
    with fewer than 128 rows are padded to that many, which changes no number.
    """

    def __init__(self, cfg: Any):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        config = RWKV7Config(
            vocab_size=1,
            hidden_size=cfg.width,
            num_hidden_layers=cfg.depth,
            num_heads=cfg.heads,
            intermediate_size=cfg.widen * cfg.width,
            decay_low_rank_dim=cfg.decay_rank,
            a_low_rank_dim=cfg.rate_rank,
            v_low_rank_dim=cfg.value_rank,
            gate_low_rank_dim=cfg.gate_rank,
            use_cache=False,
        )
        self.model = RWKV7Model(config)
        self.model.embeddings = nn.Identity()
        for name, weight in self.model.named_parameters():
            if weight.ndim == 2 and "r_k" not in name:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            elif name.endswith("norm.weight"):
                nn.init.uniform_(weight, 0.5, 1.5)
            elif ".x_" in name:
                nn.init.uniform_(weight)
            else:
                nn.init.normal_(weight, std=0.5)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, L, D) -> (B, L, D)."""
        y: torch.Tensor = self.head(self.model(inputs_embeds=self.embed(x), use_cache=False).last_hidden_state)
        return y


def rules(cfg: Any) -> list[Rule]:
    """Names on both sides."""
    time, ours = "model.layers.{}.attn.", "layers.{}.time_mix."
    vector = reshaped((1, 1, cfg.width), (cfg.width,))
    mixes = {"r": "receptance", "w": "decay", "k": "key", "v": "value", "a": "rate", "g": "gate"}
    found = [Rule(f"{time}x_{letter}", f"{ours}mix.{name}", vector) for letter, name in mixes.items()]
    linear = {"r": "receptance", "k": "key", "v": "value", "o": "out"}
    found += [Rule(f"{time}{letter}_proj.weight", f"{ours}{name}.weight") for letter, name in linear.items()]
    for letter, name in {"w": "decay", "a": "rate", "v": "lean", "g": "gate"}.items():
        found.append(Rule(f"{time}{letter}_lora.lora.0.weight", f"{ours}{name}.down.weight"))
        found.append(Rule(f"{time}{letter}_lora.lora.2.weight", f"{ours}{name}.up.weight"))
        if letter != "g":
            found.append(Rule(f"{time}{letter}_lora.lora.2.bias", f"{ours}{name}.up.bias"))
    plain = {"k_k": "removal_key", "k_a": "replacement", "r_k": "bonus"}
    found += [Rule(time + theirs, ours + name) for theirs, name in plain.items()]

    channels = {"x_k": "mix", "key.weight": "key.weight", "value.weight": "value.weight"}
    found += [
        Rule(f"model.layers.{{}}.ffn.{theirs}", f"layers.{{}}.channel_mix.{name}") for theirs, name in channels.items()
    ]
    norms = {
        "model.layers.0.pre_norm": "first_norm",
        "model.layers.{}.attn_norm": "layers.{}.time_norm",
        "model.layers.{}.ffn_norm": "layers.{}.channel_norm",
        "model.layers.{}.attn.g_norm": "layers.{}.time_mix.norm",
        "model.norm": "norm",
        "embed": "embed",
        "head": "head",
    }
    return found + [rule for theirs, name in norms.items() for rule in both(theirs, name)]
