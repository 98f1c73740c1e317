"""The reference implementation of DistilGPT2: transformers' GPT2Model, given vectors instead of tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

from converters.torch.names import SAME, SWAPPED, Rule, both


class Reference(nn.Module):
    """x (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.gpt2 = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=cfg.longest,
                n_embd=cfg.width,
                n_layer=cfg.depth,
                n_head=cfg.heads,
                embd_pdrop=cfg.dropout,
                attn_pdrop=cfg.dropout,
                resid_pdrop=cfg.dropout,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        # The table of tokens, which vectors don't go through.
        self.gpt2.wte = nn.Identity()
        self.head = nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.gpt2(inputs_embeds=self.embed(x), use_cache=False).last_hidden_state)
        return y


def rules(cfg: Any) -> list[Rule]:
    """Names on both sides; GPT-2's own linear layers keep their weights (in, out)."""
    turned = [("attn.c_attn", "attention.qkv"), ("attn.c_proj", "attention.out"), ("mlp.c_fc", "up")]
    turned.append(("mlp.c_proj", "down"))
    norms = [("ln_1", "norm1"), ("ln_2", "norm2")]
    pairs = [(f"gpt2.h.{{}}.{theirs}", f"layers.{{}}.{ours}") for theirs, ours in turned + norms]
    pairs += [("embed", "embed"), ("gpt2.ln_f", "norm"), ("head", "head")]
    linear = tuple(f".{theirs}" for theirs, _ in turned)
    found = [Rule("gpt2.wpe.weight", "positions")]
    for theirs, ours in pairs:
        found += both(theirs, ours, SWAPPED if theirs.endswith(linear) else SAME)
    return found
