"""RetNet: retention, whose parallel, chunkwise and recurrent forms are one function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import gelu, silu
from wotd_mlx.lvm.parts import base

EPS = 1e-6
"""Of every normalisation; the paper names none, its code takes this one."""


@dataclass(frozen=True)
class Config(base.Config):
    """Sizes.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of layers. heads: H.
        widen: values, gate and feed-forward layer are this many times as wide as the model (the paper's 2).
        chunk: how many vectors the parallel form takes at once; longer inputs go from chunk to chunk by the state.
        dropout: of what a layer adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 17
    heads: Count = 3
    widen: Count = 2
    chunk: Count = 128
    dropout: Part = 0.0


PRESETS = {
    "tiny": Config(dims=384, width=192, depth=3, heads=4, dropout=0.1),
    "paper": Config(),
}
ABOUT = base.About(
    title="RetNet (multi-scale retention)",
    reference="arXiv 2307.08621",
    complexity="O(L·D·N)",
    step_memory="O(1)",
    published=125_000_000,
    note="125M are met by depth: 17 layers of the paper's form at width 768 with its heads of 256",
)


class Tables(NamedTuple):
    """What a chunk of L vectors needs of positions and decays; K numbers in a query, so K/2 pairs."""

    turn: tuple[mx.array, mx.array]
    """cos and sin of tθ, (L, 1, K/2)."""
    unturn: tuple[mx.array, mx.array]
    """cos and sin of −Lθ, (K/2, 1)."""
    within: mx.array
    """γ^(t−s)/√K where s ≤ t, else 0, (H, L, L)."""
    read: mx.array
    """γ^t, (H, L, 1)."""
    write: mx.array
    """γ^(L−s)/√K, (H, L, 1)."""
    forget: mx.array
    """γ^L, (H, 1, 1)."""


@lru_cache(maxsize=8)
def _figures(heads: int, key_width: int, length: int) -> tuple[np.ndarray, ...]:
    theta = 10000.0 ** -np.linspace(0, 1, key_width // 2)
    gamma = (1 - 2.0 ** (-5 - np.arange(heads)))[:, None, None]
    position = np.arange(length)
    angle = position[:, None, None] * theta
    away = length * theta[:, None]
    apart = position[:, None] - position
    within = np.where(apart >= 0, gamma ** np.abs(apart), 0) / key_width**0.5
    write = gamma ** (length - position[:, None]) / key_width**0.5
    turns = [np.cos(angle), np.sin(angle), np.cos(away), -np.sin(away)]
    decays = [within, gamma ** position[:, None], write, gamma**length]
    return tuple(figure.astype(np.float32) for figure in turns + decays)


def tables(cfg: Config, length: int) -> Tables:
    """Computed in float64 from the config alone, so nothing of it is saved."""
    figures = [mx.array(f) for f in _figures(cfg.heads, cfg.width // cfg.heads, length)]
    return Tables((figures[0], figures[1]), (figures[2], figures[3]), *figures[4:])


def turn(x: mx.array, by: tuple[mx.array, mx.array], axis: int) -> mx.array:
    """Rotate the pairs of numbers whose first ones fill the first half of ``axis``, and the second ones the other."""
    cos, sin = by
    first, second = mx.split(x, 2, axis=axis)
    return mx.concatenate([first * cos - second * sin, first * sin + second * cos], axis=axis)


def retain(q: mx.array, k: mx.array, v: mx.array, state: mx.array | None, t: Tables) -> tuple[mx.array, mx.array]:
    r"""Retention of one chunk, the parallel form inside it and the recurrent one before it.

    .. math::
        o_t = \sum_{s \le t} \gamma^{t-s} (\tilde q_t \cdot \tilde k_s) v_s / \sqrt K + \gamma^t \tilde q_t S, \quad
        S' = R_{-L} \bigl( \gamma^L S + \sum_s \gamma^{L-s} \tilde k_s v_s^T / \sqrt K \bigr)

    The state is kept as the next chunk's first position sees it (hence :math:`R_{-L}`), so no position is ever counted
    beyond a chunk, and a state has no age. With L = 1 this is the paper's recurrence.

    Shape:
        q, k (B, H, L, K), turned by their positions in the chunk; v (B, H, L, W); state (B, H, K, W)
        -> (B, H, L, W) and the state.
    """
    out = ((q @ k.swapaxes(-1, -2)) * t.within) @ v
    after = (k * t.write).swapaxes(-1, -2) @ v
    if state is not None:
        out = out + (q * t.read) @ state
        after = after + t.forget * state
    return out, turn(after, t.unturn, axis=-2)


class MultiScaleRetention(nn.Module):
    r"""Heads of retention, each with its own decay, a norm for each head, and a gate.

    .. math::
        \gamma_h = 1 - 2^{-5-h}, \quad
        \mathrm{MSR}(x) = (\mathrm{swish}(x W_G) \odot \mathrm{GroupNorm}_H(\mathrm{retention}(x))) W_O

    Angles are :math:`\theta_i = 10000^{-i/(K/2-1)}`, as in the paper's code; the paper leaves them open.

    Shape:
        x (B, L, D) -> (B, L, D); state (B, H, K, W) with K = D/H and W = ``widen`` · K.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        wide = cfg.widen * cfg.width
        self.query = nn.Linear(cfg.width, cfg.width, bias=False)
        self.key = nn.Linear(cfg.width, cfg.width, bias=False)
        self.value = nn.Linear(cfg.width, wide, bias=False)
        self.gate = nn.Linear(cfg.width, wide, bias=False)
        self.out = nn.Linear(wide, cfg.width, bias=False)
        # The code's gains. Small scores also keep the group norm well conditioned where a query meets few keys.
        start = nn.init.glorot_uniform()
        for layer in (self.query, self.key, self.value, self.gate):
            layer.weight = start(layer.weight, 2**-2.5)
        self.out.weight = start(self.out.weight, 1.0)

    def __call__(self, x: mx.array, state: mx.array | None, by_length: dict[int, Tables]) -> tuple[mx.array, mx.array]:
        B, L, _ = x.shape
        H, chunk = self.cfg.heads, self.cfg.chunk
        queries, keys, values = (part(x).reshape(B, L, H, -1) for part in (self.query, self.key, self.value))
        rows = []
        for start in range(0, L, chunk):
            piece = slice(start, start + chunk)
            t = by_length[min(chunk, L - start)]
            q, k = (turn(part[:, piece], t.turn, axis=-1).transpose(0, 2, 1, 3) for part in (queries, keys))
            row, state = retain(q, k, values[:, piece].transpose(0, 2, 1, 3), state, t)
            rows.append(row)
        assert state is not None
        y = rows[0] if len(rows) == 1 else mx.concatenate(rows, axis=2)
        y = mx.fast.layer_norm(y, None, None, EPS).transpose(0, 2, 1, 3).reshape(B, L, -1)
        return self.out(silu(self.gate(x)) * y), state


class RetNetLayer(nn.Module):
    """y = x + MSR(LN(x)), then y + FFN(LN(y)) with FFN(y) = gelu(y W₁) W₂; (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.retention_norm = nn.LayerNorm(cfg.width, eps=EPS)
        self.retention = MultiScaleRetention(cfg)
        self.feed_norm = nn.LayerNorm(cfg.width, eps=EPS)
        self.up = nn.Linear(cfg.width, cfg.widen * cfg.width)
        self.down = nn.Linear(cfg.widen * cfg.width, cfg.width)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, state: mx.array | None, by_length: dict[int, Tables]) -> tuple[mx.array, mx.array]:
        y, state = self.retention(self.retention_norm(x), state, by_length)
        x = x + self.dropout(y)
        return x + self.dropout(self.down(gelu(self.up(self.feed_norm(x))))), state


class Predictor(base.Predictor):
    """RetNet over vectors: whole up to ``chunk`` of them, by chunks beyond, one at a time with a state of fixed size.

    Departures from the paper: linear layers in and out instead of a vocabulary, and a layer norm before the last
    one, as in the paper's code. Retention isn't rescaled against overflow in half precision (section 2.1, "retention
    score normalization"): the group norm makes that factor vanish, and decays are in float32.

    Shape:
        x (B, L, D) -> (B, L, D); state: for each layer (B, H, K, W).
    Reference:
        Sun et al. 2023, "Retentive Network: A Successor to Transformer for Large Language Models", arXiv 2307.08621.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [RetNetLayer(cfg) for _ in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width, eps=EPS)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        chunk, L = self.cfg.chunk, x.shape[1]
        by_length = {length: tables(self.cfg, length) for length in {min(L, chunk), (L - 1) % chunk + 1}}
        h, after = self.through_layers(self.embed(x), state, by_length)
        return self.head(self.norm(h)), after
