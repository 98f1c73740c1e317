"""DistilGPT2: six of GPT-2's blocks over vectors instead of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import tanh_gelu
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.attention import KeysValues, attend, extend, merge_heads, split_heads
from wotd_mlx.schemas import WotdError

_DEVIATION = 0.02
"""Of random weights, as published."""


@dataclass(frozen=True)
class Config(base.Config):
    """Sizes of the model.

    Args:
        dims: numbers in a vector, D.
        width: numbers in a block's state.
        depth: blocks.
        heads: heads of attention; they share the width.
        longest: positions, which are learned; no context may be longer. DistilGPT2 has 1024.
        dropout: share of numbers dropped in training.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 6
    heads: Count = 12
    longest: Count = 64
    dropout: Part = 0.1


PRESETS = {"tiny": Config(dims=384, width=192, depth=3, heads=6, longest=512), "paper": Config()}
ABOUT = base.About(
    title="DistilGPT2",
    reference="Sanh et al. 2019, arXiv 1910.01108; huggingface distilgpt2",
    complexity="O(L²·D)",
    step_memory="O(L)",
    published=42_500_000,
    note="the published 82M count a table of 50,257 tokens, which embeddings don't need; 42.5M are the six blocks, and "
    "a linear layer on either side adds 1.2M. `paper` has 64 positions of the published 1024, which would add 0.7M",
)


class Attention(nn.Module):
    """GPT-2's causal attention: x (B, L, D) -> (B, L, D), and the keys and values read so far."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.heads = cfg.heads
        self.qkv = nn.Linear(cfg.width, 3 * cfg.width)
        self.out = nn.Linear(cfg.width, cfg.width)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, past: KeysValues | None = None) -> tuple[mx.array, KeysValues]:
        """Read L positions after those of ``past``."""
        q, k, v = (split_heads(part, self.heads) for part in mx.split(self.qkv(x), 3, axis=-1))
        known = extend(past, k, v)
        return self.out(merge_heads(attend(q, known, self.dropout))), known


class Block(nn.Module):
    r"""One block of GPT-2, layer norm first.

    .. math::
        x \leftarrow x + A(N_1 x), \quad x \leftarrow x + W_2\, \mathrm{gelu}(W_1 N_2 x)

    Shape: x (B, L, D) -> (B, L, D), and the keys and values read so far.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.norm1 = nn.LayerNorm(cfg.width)
        self.attention = Attention(cfg)
        self.norm2 = nn.LayerNorm(cfg.width)
        self.up = nn.Linear(cfg.width, 4 * cfg.width)
        self.down = nn.Linear(4 * cfg.width, cfg.width)
        self.dropout = Dropout(cfg.dropout)
        for layer, residuals in (
            (self.attention.qkv, 1),
            (self.attention.out, 2 * cfg.depth),
            (self.up, 1),
            (self.down, 2 * cfg.depth),
        ):
            layer.weight = _DEVIATION * residuals**-0.5 * mx.random.normal(layer.weight.shape)
            layer.bias = mx.zeros(layer.bias.shape)

    def __call__(self, x: mx.array, past: KeysValues | None) -> tuple[mx.array, KeysValues]:
        """Read L positions after those of ``past``."""
        mixed, known = self.attention(self.norm1(x), past)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.down(tanh_gelu(self.up(self.norm2(x))))), known


class Predictor(base.Predictor):
    """GPT-2's blocks between two linear layers, with learned positions.

    Args:
        cfg: sizes. Dropout acts on the input, on attention's weights and after both parts of a block, as in GPT-2.
    Shape:
        x (B, L, D) -> (B, L, D); the state is the keys and values of each block.
    Reference:
        Radford et al. 2019, section 2.3, and Sanh et al. 2019, arXiv 1910.01108. The linear layers replace the table
        of tokens, which a published checkpoint shares between its two ends.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.positions = _DEVIATION * mx.random.normal((cfg.longest, cfg.width))
        self.layers = [Block(cfg) for _ in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width)
        self.dropout = Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        """x (B, L, D) -> predictions (B, L, D) and the state.

        Raises:
            WotdError: more vectors were read than there are positions.
        """
        # Positions are counted by a shape, which is known while a graph is traced.
        start = state[0][0].shape[2] if state else 0
        end, longest = start + x.shape[1], self.positions.shape[0]
        if end > longest:
            raise WotdError(
                f"a context of {end} vectors is longer than distilgpt2's {longest} learned positions; "
                "shorten it, or build the model with a larger `longest`"
            )
        h = self.dropout(self.embed(x) + self.positions[start:end])
        h, after = self.through_layers(h, state)
        return self.head(self.norm(h)), after
