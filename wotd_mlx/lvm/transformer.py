"""Transformer: decoder layers that attend to what they have made so far and to the vectors themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.dropout import Dropout
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.attention import KeysValues, attend, extend, merge_heads, split_heads


@dataclass(frozen=True)
class Config(base.Config):
    """Sizes of the model.

    Args:
        dims: numbers in a vector, D.
        width: numbers in a layer's state.
        depth: decoder layers.
        heads: heads of each attention; they share the width.
        feed: numbers between the two linear layers of a feed-forward block.
        dropout: share of numbers dropped in training.
    """

    dims: Count = 768
    width: Count = 512
    depth: Count = 4
    heads: Count = 8
    feed: Count = 2048
    dropout: Part = 0.1


PRESETS = {"tiny": Config(dims=384, width=192, depth=3, heads=6, feed=576), "paper": Config()}
ABOUT = base.About(
    title="Transformer decoder",
    reference="Vaswani et al. 2017, arXiv 1706.03762",
    complexity="O(L²·D)",
    step_memory="O(L)",
    published=17_600_000,
    note="no encoder: cross-attention reads the embedded input, causally; layer norm comes first (2002.04745)",
)


class Attention(nn.Module):
    """Causal softmax attention, its three projections in one matrix as torch.nn.MultiheadAttention has them.

    Shape:
        x (B, L, D) and source (B, L, D) -> (B, L, D), and the keys and values read so far.
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        bound = math.sqrt(6 / (4 * width))
        self.in_weight = mx.random.uniform(-bound, bound, (3 * width, width))
        self.in_bias = mx.zeros((3 * width,))
        self.out = nn.Linear(width, width)
        self.out.bias = mx.zeros((width,))

    def __call__(
        self, x: mx.array, source: mx.array | None = None, past: KeysValues | None = None
    ) -> tuple[mx.array, KeysValues]:
        """Queries from x; keys and values from ``source``, or from x too."""
        W = x.shape[-1]
        if source is None:
            q, k, v = mx.split(mx.addmm(self.in_bias, x, self.in_weight.T), 3, axis=-1)
        else:
            q = mx.addmm(self.in_bias[:W], x, self.in_weight[:W].T)
            k, v = mx.split(mx.addmm(self.in_bias[W:], source, self.in_weight[W:].T), 2, axis=-1)
        known = extend(past, split_heads(k, self.heads), split_heads(v, self.heads))
        mixed = attend(split_heads(q, self.heads), known, self.dropout)
        return self.out(merge_heads(mixed)), known


class DecoderLayer(nn.Module):
    r"""Self-attention, cross-attention and feed-forward, each after a layer norm and beside a residual.

    .. math::
        x \leftarrow x + A(N_1 x), \quad x \leftarrow x + A'(N_2 x, m), \quad
        x \leftarrow x + W_2 \max(0, W_1 N_3 x)

    Shape: x (B, L, D), memory m (B, L, D) -> (B, L, D), and what both attentions have read.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.self_attention = Attention(cfg.width, cfg.heads, cfg.dropout)
        self.cross_attention = Attention(cfg.width, cfg.heads, cfg.dropout)
        self.up = nn.Linear(cfg.width, cfg.feed)
        self.down = nn.Linear(cfg.feed, cfg.width)
        self.norms = [nn.LayerNorm(cfg.width) for _ in range(3)]
        self.dropout = Dropout(cfg.dropout)

    def __call__(
        self, x: mx.array, past: tuple[KeysValues, KeysValues] | None, memory: mx.array
    ) -> tuple[mx.array, tuple[KeysValues, KeysValues]]:
        """Read L positions after those of ``past``."""
        own, crossed = past or (None, None)
        mixed, own = self.self_attention(self.norms[0](x), past=own)
        x = x + self.dropout(mixed)
        mixed, crossed = self.cross_attention(self.norms[1](x), memory, crossed)
        x = x + self.dropout(mixed)
        fed = self.down(self.dropout(nn.relu(self.up(self.norms[2](x)))))
        return x + self.dropout(fed), (own, crossed)


class Predictor(base.Predictor):
    r"""Decoder layers between two linear ones, over √width times the embedded vectors plus sinusoids.

    .. math::
        p_{t, 2k} = \sin(t\, 10000^{-2k/W}), \quad p_{t, 2k+1} = \cos(t\, 10000^{-2k/W})

    Args:
        cfg: sizes. Dropout acts on the input, on attention's weights, inside and after each block, as published and
            as in torch.nn.TransformerDecoderLayer.
    Shape:
        x (B, L, D) -> (B, L, D); the state is what both attentions of each layer have read.
    Reference:
        Vaswani et al. 2017, arXiv 1706.03762, sections 3 and 5.4. Not as published: there is no encoder, so that
        cross-attention reads the embedded input, each position only what isn't later; layer norm comes before each
        block and once at the end (Xiong et al. 2020, arXiv 2002.04745), which trains without a warm-up.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [DecoderLayer(cfg) for _ in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width)
        self.dropout = Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        """x (B, L, D) -> predictions (B, L, D) and the state."""
        # Positions are counted by a shape, which is known while a graph is traced.
        start = state[0][0][0].shape[2] if state else 0
        x = self.embed(x)
        L, W = x.shape[1:]
        memory = self.dropout(x * math.sqrt(W) + sinusoids(start, L, W).astype(x.dtype))
        h, after = self.through_layers(memory, state, memory)
        return self.head(self.norm(h)), after


def sinusoids(start: int, length: int, width: int) -> mx.array:
    """Sines and cosines by turns for the positions from ``start`` on: (L, W)."""
    # In float64, since a rate's rounding is multiplied by the position.
    angles = np.arange(start, start + length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return mx.array(waves.reshape(length, width).astype(np.float32))
