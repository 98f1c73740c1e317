"""RWKV-7 "Goose": a matrix state whose decays and delta-rule corrections depend on what is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import sigmoid, tanh
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.delta_rule import delta_rule

EPS = 1e-5
FALL = math.exp(-0.5)
"""No number of the state falls by more than exp(−FALL) = 0.545 a step."""


@dataclass(frozen=True)
class Config(base.Config):
    """Sizes.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of layers. heads: H.
        widen: the channel mix is this many times as wide as the model.
        decay_rank, rate_rank, value_rank, gate_rank: inner widths of the low-rank layers; by the authors' rule 1.8,
            1.8 and 1.3 times √width and 0.6 · width^0.8, to the nearest multiple of 32, at least 32.
        chunk: how many vectors are read at once. In 16 a decay reaches exp(−9.7) at most, which float32 divides by
            without harm; from 140 on it would overflow.
        dropout: of what a block adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 22
    heads: Count = 12
    widen: Count = 4
    decay_rank: Count = 64
    rate_rank: Count = 64
    value_rank: Count = 32
    gate_rank: Count = 128
    chunk: Count = 16
    dropout: Part = 0.0


PRESETS = {
    "tiny": Config(
        dims=384, width=192, depth=3, heads=3, decay_rank=32, rate_rank=32, value_rank=32, gate_rank=32, dropout=0.1
    ),
    "paper": Config(),
}
ABOUT = base.About(
    title="RWKV-7 (generalised delta rule)",
    reference="arXiv 2503.14456",
    complexity="O(L·D·N)",
    step_memory="O(1)",
    published=169_000_000,
    note="version 7; the published 169M, 12 layers at width 768, count token tables, which embeddings don't need; "
    "they are met by depth: 22 layers",
)


def shift(x: mx.array, last: mx.array | None) -> mx.array:
    """The vector before each: (B, L, D) -> (B, L, D); ``last`` (B, 1, D) stands before the first, or zeros do."""
    if last is None:
        last = mx.zeros_like(x[:, :1])
    return last if x.shape[1] == 1 else mx.concatenate([last, x[:, :-1]], axis=1)


def even(rows: int, columns: int, gain: float) -> mx.array:
    """Uniform weights (rows, columns) between ± gain / √columns."""
    bound = gain * columns**-0.5
    return mx.random.uniform(-bound, bound, (rows, columns))


class LowRank(nn.Module):
    """x A, whatever comes between, then B and a bias: (B, L, D) -> (B, L, D) through ``rank`` numbers."""

    def __init__(self, width: int, rank: int, start: mx.array | None):
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=start is not None)
        self.down.weight = mx.zeros((rank, width))
        self.up.weight = mx.random.normal((width, rank)) * (0.1 * width**-0.5)
        if start is not None:
            self.up.bias = start


class HeadNorm(nn.Module):
    """A layer norm for each head, with a weight and a bias for each number: (B, L, H, N) -> (B, L, H, N)."""

    def __init__(self, heads: int, width: int, weight: float):
        super().__init__()
        self.weight = mx.full((heads * width,), weight)
        self.bias = mx.zeros((heads * width,))

    def __call__(self, x: mx.array) -> mx.array:
        H, N = x.shape[2:]
        y = mx.fast.layer_norm(x, None, None, N * EPS)
        return y * self.weight.reshape(H, N) + self.bias.reshape(H, N)


class TimeMix(nn.Module):
    r"""Each vector mixed with the one before it, then the delta rule, a norm a head, a bonus for the present, a gate.

    .. math::
        w = e^{-e^{-1/2} \sigma(\cdot)}, \; \hat\kappa = \mathrm{normalise}(k \odot \xi), \;
        a = -\hat\kappa, \; b = \hat\kappa \odot \eta, \; \tilde k = k \odot (1 + (\eta - 1) \odot \alpha)

    with the in-context learning rate :math:`\eta`; values lean on the first layer's by a learned, gated share.

    Shape:
        x (B, L, D), values of the first layer (B, L, D) or None in the first -> (B, L, D), those values, the state:
        (B, H, N, N) and the last vector (B, 1, D).
    """

    def __init__(self, cfg: Config, layer: int):
        super().__init__()
        self.cfg = cfg
        W, N = cfg.width, cfg.width // cfg.heads
        channel, line = mx.arange(W) / W, mx.arange(W) / max(W - 1, 1)
        depth, left = layer / max(cfg.depth - 1, 1), 1 - layer / cfg.depth
        bend = (mx.arange(W) % N) / max(N - 1, 1) * 2 - 1
        bend = bend * mx.abs(bend)

        powers = {"receptance": 0.2, "decay": 0.9, "key": 0.7, "value": 0.7, "rate": 0.9, "gate": 0.2}
        self.mix = {name: 1 - channel ** (power * left) for name, power in powers.items()}
        self.receptance, self.key, self.value, self.out = (nn.Linear(W, W, bias=False) for _ in range(4))
        for linear, gain in ((self.receptance, 0.5), (self.key, 0.05), (self.value, 0.5), (self.out, 0.0)):
            linear.weight = even(W, W, gain)
        self.decay = LowRank(W, cfg.decay_rank, -5.5 + 6 * line ** (1 + depth**0.3) + 2.5 * bend)
        self.rate = LowRank(W, cfg.rate_rank, -0.19 + 0.3 * bend + 0.4 * (line - 0.5))
        if layer:
            self.lean = LowRank(W, cfg.value_rank, 0.73 - 0.4 * (line - 0.5))
        self.gate = LowRank(W, cfg.gate_rank, None)
        self.removal_key = 0.71 - 0.1 * (line - 0.5)
        self.replacement = mx.full((W,), 1.02)
        self.bonus = mx.full((cfg.heads, N), -0.04)
        self.norm = HeadNorm(cfg.heads, N, ((1 + layer) / cfg.depth) ** 0.7)

    def __call__(
        self, x: mx.array, first: mx.array | None, state: base.State | None
    ) -> tuple[mx.array, mx.array, base.State]:
        B, L, W = x.shape
        H, N = self.bonus.shape
        memory, last = state or (None, None)
        change = shift(x, last) - x
        mixed = {name: x + change * share for name, share in self.mix.items()}

        r, k, v = self.receptance(mixed["receptance"]), self.key(mixed["key"]), self.value(mixed["value"])
        fall = sigmoid(self.decay.up(tanh(self.decay.down(mixed["decay"])))) * -FALL
        rate = sigmoid(self.rate.up(self.rate.down(mixed["rate"])))
        gate = self.gate.up(sigmoid(self.gate.down(mixed["gate"])))
        if first is None:
            first = v
        else:
            v = v + (first - v) * sigmoid(self.lean.up(self.lean.down(mixed["value"])))

        removal = (k * self.removal_key).reshape(B, L, H, N)
        removal = removal * mx.rsqrt((removal * removal).sum(axis=-1, keepdims=True) + 1e-12)
        k = k * (1 + (rate - 1) * self.replacement)
        r, fall, k, v, rate = (part.reshape(B, L, H, N) for part in (r, fall, k, v, rate))
        y, memory = delta_rule(r, fall, k, v, -removal, removal * rate, memory, self.cfg.chunk)
        y = self.norm(y.transpose(0, 2, 1, 3)) + (r * k * self.bonus).sum(axis=-1, keepdims=True) * v
        return self.out(y.reshape(B, L, W) * gate), first, (memory, x[:, -1:])


class ChannelMix(nn.Module):
    """relu(x′ K)² V of each vector mixed with the one before it; (B, L, D) -> (B, L, D) and the last vector."""

    def __init__(self, cfg: Config, layer: int):
        super().__init__()
        W = cfg.width
        self.mix = 1 - (mx.arange(W) / W) ** ((1 - layer / cfg.depth) ** 4)
        self.key, self.value = nn.Linear(W, cfg.widen * W, bias=False), nn.Linear(cfg.widen * W, W, bias=False)
        self.key.weight, self.value.weight = even(cfg.widen * W, W, 0.5), mx.zeros((W, cfg.widen * W))

    def __call__(self, x: mx.array, last: mx.array | None) -> tuple[mx.array, mx.array]:
        inner = mx.maximum(self.key(x + (shift(x, last) - x) * self.mix), 0)
        return self.value(inner * inner), x[:, -1:]


class Block(nn.Module):
    """y = x + TimeMix(LN(x)), then y + ChannelMix(LN(y)); (B, L, D) -> (B, L, D)."""

    def __init__(self, cfg: Config, layer: int):
        super().__init__()
        self.time_norm, self.channel_norm = nn.LayerNorm(cfg.width, eps=EPS), nn.LayerNorm(cfg.width, eps=EPS)
        self.time_mix, self.channel_mix = TimeMix(cfg, layer), ChannelMix(cfg, layer)
        self.dropout = Dropout(cfg.dropout)

    def __call__(
        self, x: mx.array, first: mx.array | None, state: base.State | None
    ) -> tuple[mx.array, mx.array, base.State]:
        of_time, of_channels = state or (None, None)
        y, first, of_time = self.time_mix(self.time_norm(x), first, of_time)
        x = x + self.dropout(y)
        y, of_channels = self.channel_mix(self.channel_norm(x), of_channels)
        return x + self.dropout(y), first, (of_time, of_channels)


class Predictor(base.Predictor):
    """RWKV-7 over vectors: by chunks of 16, or one at a time with a state of fixed size.

    Departures from the paper: linear layers in and out instead of a vocabulary; low-rank layers start from normal
    weights of the same size instead of orthogonal ones. As there, what each block adds is zero at the start.

    Shape:
        x (B, L, D) -> (B, L, D); state: for each layer (B, H, N, N) and two vectors (B, 1, D).
    Reference:
        Peng et al. 2025, 'RWKV-7 "Goose" with Expressive Dynamic State Evolution', arXiv 2503.14456; chunks as in
        Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule", arXiv 2406.06484.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.first_norm = nn.LayerNorm(cfg.width, eps=EPS)
        self.layers = [Block(cfg, layer) for layer in range(cfg.depth)]
        self.norm = nn.LayerNorm(cfg.width, eps=EPS)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: base.State | None = None) -> tuple[mx.array, base.State]:
        x, first, after = self.first_norm(self.embed(x)), None, []
        for layer, before in zip(self.layers, state or [None] * len(self.layers), strict=True):
            x, first, now = self.through(layer, x, first, before)
            after.append(now)
        return self.head(self.norm(x)), after
