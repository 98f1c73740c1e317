"""S4: a linear state space in every channel, which remembers by Legendre polynomials, and gates between the channels.

.. math:: h \\leftarrow h + \\mathrm{glu}(W \\mathrm{gelu}(\\mathrm{ssm}(\\mathrm{norm}\\, h))), \\qquad
    h \\leftarrow h + \\mathrm{ffn}(\\mathrm{norm}\\, h)

Reference: Gu et al. 2021, "Efficiently modeling long sequences with structured state spaces", arXiv 2111.00396; with
``kernel="s4d"`` its diagonal form, arXiv 2206.11893. Departures: A = Λ - P P* with Re Λ = -exp(·), so that no training
step can make a system unstable (the paper: Λ - P Q*; arXiv 2202.09729 makes the same change); C is the parameter and
C (1 - Āᴸ) is computed for each length, where the paper trains the latter for one length; S4D steps bilinearly as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part, Positive
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import gelu, sigmoid
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.state_space import StateSpace
from wotd_mlx.schemas import WotdError


@dataclass(frozen=True)
class Config(base.Config):
    """Of the layers.

    Args:
        dims: D of the vectors. width: H, channels of the residual stream. depth: number of blocks. states: N of a
            channel, N/2 conjugate pairs. expand: inner width of the feed-forward layers over ``width``.
        kernel: ``s4``, or ``s4d`` for the diagonal form. shortest_step, longest_step: bounds of Δ at first; a channel
            remembers some 1/Δ vectors. dropout: of what a layer adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 16
    states: Count = 64
    expand: Count = 4
    kernel: Literal["s4", "s4d"] = "s4"
    shortest_step: Positive = 0.001
    longest_step: Positive = 0.1
    dropout: Part = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.states % 2:
            raise WotdError(f"s4 states is {self.states}, expected an even number: they are kept in pairs")


PRESETS = {
    "tiny": Config(
        dims=384, width=256, depth=4, states=16, expand=2, shortest_step=0.01, longest_step=0.3, dropout=0.1
    ),
    "paper": Config(),
}
ABOUT = base.About(
    title="S4, structured state spaces",
    reference="arXiv 2111.00396",
    complexity="O(L·log L·D + L·D·N)",
    step_memory="O(1)",
    published=100_000_000,
)


class S4Block(nn.Module):
    """x + glu(ssm(norm x)), then x + ffn(norm x): (B, L, H) -> the same."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(cfg.width), nn.LayerNorm(cfg.width)
        self.ssm = StateSpace(cfg.width, cfg.states, cfg.kernel, (cfg.shortest_step, cfg.longest_step))
        self.mix = nn.Linear(cfg.width, 2 * cfg.width)
        self.up = nn.Linear(cfg.width, cfg.expand * cfg.width)
        self.down = nn.Linear(cfg.expand * cfg.width, cfg.width)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, state: mx.array | None) -> tuple[mx.array, mx.array]:
        y, state = self.ssm(self.norm1(x), state)
        kept, gate = mx.split(self.mix(self.dropout(gelu(y))), 2, axis=-1)
        x = x + self.dropout(kept * sigmoid(gate))
        return x + self.dropout(self.down(gelu(self.up(self.norm2(x))))), state


class Predictor(base.Predictor):
    """x (B, L, D) -> (B, L, D); the state is each block's (B, H, N)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [S4Block(cfg) for _ in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: list[mx.array] | None = None) -> tuple[mx.array, list[mx.array]]:
        h, after = self.through_layers(self.embed(x), state)
        return self.head(self.norm(h)), after
