"""Hyena: gates and long convolutions in turn, whose filters a small network of the position writes.

.. math::
    z^1 = v, \\qquad z^{n+1}_t = x^n_t \\odot (h^n * z^n)_t, \\qquad y = z^{N+1} \\quad (N = 2), \\\\
    h_t = e^{-\\alpha t / T} \\odot \\mathrm{FFN}(t / T, \\cos 2\\pi k t / T, \\sin 2\\pi k t / T) + d [t = 0]

where v, x¹, …, x^N are linear in the input and pass a causal convolution of three taps, and T is ``longest``.

Reference: Poli et al. 2023, "Hyena hierarchy", arXiv 2302.10866, definition 3.1 and appendix D.3. As in the authors'
code the decay rates α lie evenly between ln 100 / 1.5 and ln 100 / .3 and aren't trained, each filter has a weight d
for the position itself, and the frequency of the sines is trained. Departures: the authors' code has N - 1 convolutions
at order N, definition 3.1 has N, as here; past ``longest`` positions the same formula goes on. The operator has no
recurrent form of constant memory: one vector at a time costs O(L), and the state keeps what has been read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.config.ranges import Count, Natural, Part, Positive
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import gelu
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.convolution import convolve
from wotd_mlx.lvm.parts.short_conv import ShortConv


@dataclass(frozen=True)
class Config(base.Config):
    """Of the layers.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of blocks. expand: inner width of the
            feed-forward layers over ``width``.
        order: N, gates and long filters of an operator. reach: taps of the short convolution. longest: T, the number
            of positions the filters are scaled to; no limit.
        waves: K, frequencies among the features of a position. filter_width, filter_depth: of the network that writes
            the filters. frequency: of its sines at first.
        dropout: of what a layer adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 17
    expand: Count = 4
    order: Count = 2
    reach: Count = 3
    longest: Count = 2048
    waves: Natural = 16
    filter_width: Count = 64
    filter_depth: Count = 4
    frequency: Positive = 14.0
    dropout: Part = 0.0


PRESETS = {
    "tiny": Config(
        dims=384, width=256, depth=3, expand=2, longest=64, waves=8, filter_width=32, frequency=4.0, dropout=0.1
    ),
    "paper": Config(),
}
ABOUT = base.About(
    title="Hyena, implicit long convolutions",
    reference="arXiv 2302.10866",
    complexity="O(L·log L·D)",
    step_memory="O(L)",
    published=125_000_000,
    note="17 blocks instead of 12: the published 125M count a table of 50,257 tokens, which embeddings don't need",
)

HyenaState = tuple[mx.array, list[mx.array]]
"""The short convolution's past (B, reach - 1, (N + 1) W), and what each long one has read, N times (B, L, W)."""


class HyenaFilter(nn.Module):
    """Filters as functions of the position: a length L -> (N, W, L)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        widths = [1 + 2 * cfg.waves, *[cfg.filter_width] * (cfg.filter_depth - 1)]
        self.layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.out = nn.Linear(cfg.filter_width, cfg.order * cfg.width, bias=False)
        self.frequency = mx.full(cfg.filter_width, cfg.frequency)
        self.here = mx.random.normal((cfg.order, cfg.width))
        self._longest, self._waves = cfg.longest, cfg.waves
        slowest, fastest = np.log(100) / 1.5, np.log(100) / 0.3
        self._decay = mx.array(np.linspace(slowest, fastest, cfg.width)[:, None], mx.float32)

    def __call__(self, length: int) -> mx.array:
        time = np.arange(length)[:, None] / self._longest
        angles = 2 * np.pi * np.arange(self._waves) * time
        h = mx.array(np.concatenate([time, np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
        for layer in self.layers:
            h = mx.sin(self.frequency * layer(h))
        N, W = self.here.shape
        h = self.out(h).T.reshape(N, W, length) * mx.exp(-self._decay * mx.array(time[:, 0].astype(np.float32)))
        return mx.concatenate([h[..., :1] + self.here[..., None], h[..., 1:]], axis=-1)


class HyenaOperator(nn.Module):
    """x (B, L, W) -> the same, in place of attention."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.into = nn.Linear(cfg.width, (cfg.order + 1) * cfg.width)
        self.short = ShortConv((cfg.order + 1) * cfg.width, cfg.reach)
        self.filter = HyenaFilter(cfg)
        self.out = nn.Linear(cfg.width, cfg.width)

    def __call__(self, x: mx.array, state: HyenaState | None) -> tuple[mx.array, HyenaState]:
        L = x.shape[1]
        short, past = state or (None, [])
        projections, short = self.short(self.into(x), short)
        z, *gates = mx.split(projections, projections.shape[-1] // x.shape[-1], axis=-1)
        filters = self.filter(L + (past[0].shape[1] if past else 0))
        read = []
        for n, gate in enumerate(gates):
            known = mx.concatenate([past[n], z], axis=1) if past else z
            read.append(known)
            z = gate * convolve(known, filters[n], L)
        return self.out(z), (short, read)


class HyenaBlock(nn.Module):
    """x + hyena(norm x), then x + ffn(norm x): (B, L, W) -> the same."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(cfg.width), nn.LayerNorm(cfg.width)
        self.mixer = HyenaOperator(cfg)
        self.up = nn.Linear(cfg.width, cfg.expand * cfg.width)
        self.down = nn.Linear(cfg.expand * cfg.width, cfg.width)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, state: HyenaState | None) -> tuple[mx.array, HyenaState]:
        y, state = self.mixer(self.norm1(x), state)
        x = x + self.dropout(y)
        return x + self.dropout(self.down(gelu(self.up(self.norm2(x))))), state


class Predictor(base.Predictor):
    """x (B, L, D) -> (B, L, D); the state is each block's (short past, what its long convolutions have read)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [HyenaBlock(cfg) for _ in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: list[HyenaState] | None = None) -> tuple[mx.array, list[HyenaState]]:
        h, after = self.through_layers(self.embed(x), state)
        return self.head(self.norm(h)), after
