"""Mamba-2: layers of state-space duality, nothing else.

.. math:: h \\leftarrow h + \\mathrm{SSD}(\\mathrm{rmsnorm}(h))

Reference: Dao & Gu 2024, "Transformers are SSMs", arXiv 2405.21060. Departures: vectors come in and go out through
linear maps instead of a token table. All heads share B and C, as in the published 130M model.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part, Positive
from wotd_mlx.dropout import Dropout
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.ssd import SSDMixer, SSDState


@dataclass(frozen=True)
class Config(base.Config):
    """Of the layers.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of layers.
        expand: inner width over ``width``. head_width: W, numbers a head mixes. states: N, size of a head's memory a
            number. kernel: reach of the convolution. chunk: positions that are read by one matrix product.
        eps: in the RMS norms. dropout: of what a layer adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 34
    expand: Count = 2
    head_width: Count = 64
    states: Count = 128
    kernel: Count = 4
    chunk: Count = 64
    eps: Positive = 1e-5
    dropout: Part = 0.0

    @property
    def heads(self) -> int:
        return self.expand * self.width // self.head_width


PRESETS = {
    "tiny": Config(dims=384, width=256, depth=4, head_width=32, states=32, dropout=0.1),
    "paper": Config(),
}
ABOUT = base.About(
    title="Mamba-2, state-space duality",
    reference="arXiv 2405.21060",
    complexity="O(L·D·N)",
    step_memory="O(1)",
    published=130_000_000,
    note="34 layers instead of 24: the published 130M count a table of 50,288 tokens, which embeddings don't need",
)


class Mamba2Block(nn.Module):
    """x + SSD(rmsnorm(x)): (B, L, width) -> the same."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(cfg.width, cfg.eps)
        self.mixer = SSDMixer(
            cfg.width, cfg.heads, cfg.head_width, cfg.states, cfg.kernel, cfg.chunk, cfg.depth, cfg.eps
        )
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, state: SSDState | None) -> tuple[mx.array, SSDState]:
        y, state = self.mixer(self.norm(x), state)
        return x + self.dropout(y), state


class Predictor(base.Predictor):
    """x (B, L, D) -> (B, L, D); the state is each layer's (convolution's past, memory)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [Mamba2Block(cfg) for _ in range(cfg.depth)]
        self.norm = nn.RMSNorm(cfg.width, cfg.eps)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: list[SSDState] | None = None) -> tuple[mx.array, list[SSDState]]:
        h, after = self.through_layers(self.embed(x), state)
        return self.head(self.norm(h)), after
