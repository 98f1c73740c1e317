"""The Performer of performer-pytorch 1.1.4, its keys' stabiliser made causal.

Two faults of the package, and one thing to know:

- ``softmax_kernel`` takes off the highest product over all features *and positions* from every key, then adds its ε of
  1e-4: what ε weighs at one position depends on later positions, so a causal model sees a little of its future. Here
  the same function is called with ε = 0, where the maximum cancels, and a zero key beside the others, whose features
  are exp(−maximum): divided by them, the keys' features are those of the paper, and ε is added to these.
- ``gaussian_orthogonal_random_matrix`` uses LAPACK's Q as it comes. Its columns lean to one side (the first has a
  negative first number always), so the features are biased. Ours are drawn evenly; the reference takes any.
- ``causal_linear_attention_noncuda`` has ``chunk_size=128``, which is the number of chunks and not their size.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from performer_pytorch.performer_pytorch import (
    FastAttention,
    FixedPositionalEmbedding,
    Performer,
    causal_linear_attention_noncuda,
    softmax_kernel,
)

from converters.torch.names import Array, Layout, Rule, both


class CausalAttention(FastAttention):
    """The package's attention, with keys that don't know the sequence they stand in."""

    def __init__(self, cfg: Any):
        # The package prints that it has no CUDA kernel.
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(cfg.head_width, cfg.features, causal=True)
        self.epsilon = cfg.epsilon

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(B, H, L, W) each -> (B, H, L, W)."""
        omega = self.projection_matrix
        q = softmax_kernel(q, projection_matrix=omega, is_query=True, eps=self.epsilon)
        with_zero = torch.cat([k, torch.zeros_like(k[..., :1, :])], dim=-2)
        scaled = softmax_kernel(with_zero, projection_matrix=omega, is_query=False, eps=0.0)
        k = scaled[..., :-1, :] / scaled[..., -1:, :] + self.epsilon
        return causal_linear_attention_noncuda(q, k, v, eps=0.0)


class Reference(torch.nn.Module):
    """The package's blocks between linear layers, with rotary positions and a last norm as in its language model."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.head_width = cfg.head_width
        self.embed = torch.nn.Linear(cfg.dims, cfg.width)
        with contextlib.redirect_stdout(io.StringIO()):
            # Without its wrapper, whose only work is to redraw the features.
            self.blocks = Performer(
                cfg.width, cfg.depth, cfg.heads, cfg.head_width, causal=True, nb_features=cfg.features,
                attn_dropout=cfg.dropout, ff_dropout=cfg.dropout,
            ).net  # fmt: skip
        for attention, _ in self.blocks.layers:
            attention.fn.fast_attention = CausalAttention(cfg)
        self.norm = torch.nn.LayerNorm(cfg.width)
        self.head = torch.nn.Linear(cfg.width, cfg.dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, L, D) -> predictions (B, L, D)."""
        x = self.embed(x)
        positions = FixedPositionalEmbedding(self.head_width, x.shape[1])(x)
        return self.head(self.norm(self.blocks(x, pos_emb=positions)))


def rules(cfg: Any) -> list[Rule]:
    """Which weight is which; ours turns the halves of a head, the package neighbouring numbers."""
    half = cfg.head_width // 2

    def halves(w: Array) -> Array:
        pairs = w.reshape(-1, half, 2, *w.shape[1:])
        return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(w.shape)

    def pairs(w: Array) -> Array:
        two = w.reshape(-1, 2, half, *w.shape[1:])
        return np.ascontiguousarray(two.swapaxes(1, 2)).reshape(w.shape)

    turned = Layout(halves, pairs)
    across = Layout(lambda w: np.ascontiguousarray(halves(w.T).T), lambda w: np.ascontiguousarray(pairs(w.T).T))
    attention, forward = "blocks.layers.{}.0", "blocks.layers.{}.1"
    return [
        Rule(f"{attention}.fn.fast_attention.projection_matrix", "layers.{}.attention.directions", across),
        *both("embed"),
        *both(f"{attention}.norm", "layers.{}.attention_norm"),
        *(
            Rule(f"{attention}.fn.to_{letter}.{kind}", f"layers.{{}}.attention.{name}.{kind}", turned)
            for letter, name in (("q", "query"), ("k", "key"))
            for kind in ("weight", "bias")
        ),
        *both(f"{attention}.fn.to_v", "layers.{}.attention.value"),
        *both(f"{attention}.fn.to_out", "layers.{}.attention.out"),
        *both(f"{forward}.norm", "layers.{}.forward_norm"),
        *both(f"{forward}.fn.fn.w1", "layers.{}.up"),
        *both(f"{forward}.fn.fn.w2", "layers.{}.down"),
        *both("norm"),
        *both("head"),
    ]
