"""Hybrid: Mamba-2 layers for memory at constant cost, a few of attention for exact recall, each with a gated MLP.

.. math:: h' = h + \\mathrm{mixer}(\\mathrm{rmsnorm}(h)), \\qquad h'' = h' + \\mathrm{mlp}(\\mathrm{rmsnorm}(h'))

Reference: Lieber et al. 2024, "Jamba", arXiv 2403.19887: one attention layer among several state-space ones, in their
middle. Departures: the layer is Bamba's (Mamba-2 for Jamba's Mamba, rotary positions on half of each head, no mixture
of experts), vectors come in and go out through linear maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part, Positive
from wotd_mlx.dropout import Dropout
from wotd_mlx.kernels.activations import silu
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.attention import KeysValues, attend, extend, merge_heads, split_heads
from wotd_mlx.lvm.parts.rotary import rotate
from wotd_mlx.lvm.parts.ssd import SSDMixer, SSDState

LayerState = SSDState | KeysValues


@dataclass(frozen=True)
class Config(base.Config):
    """Of the layers.

    Args:
        dims: D of the vectors. width: of the residual stream. depth: number of layers.
        attention_every: a layer in so many attends, the one in their middle. heads, key_heads: of queries and, fewer,
            of keys and values. rotary_base: of the angles. hidden: inner width of the MLP.
        expand: inner width of the state-space layers over ``width``. head_width: W, numbers a head mixes. states: N,
            size of a head's memory a number. kernel: reach of the convolution. chunk: positions that are read by one
            matrix product. eps: in the RMS norms. dropout: of what a mixer or an MLP adds to the stream.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 18
    attention_every: Count = 9
    heads: Count = 12
    key_heads: Count = 4
    rotary_base: Positive = 10000.0
    hidden: Count = 2048
    expand: Count = 2
    head_width: Count = 64
    states: Count = 128
    kernel: Count = 4
    chunk: Count = 64
    eps: Positive = 1e-5
    dropout: Part = 0.0

    @property
    def ssd_heads(self) -> int:
        return self.expand * self.width // self.head_width

    @property
    def attending(self) -> list[int]:
        """Numbers of the attention layers."""
        return [i for i in range(self.depth) if i % self.attention_every == self.attention_every // 2]


PRESETS = {
    "tiny": Config(
        dims=384,
        width=192,
        depth=4,
        attention_every=4,
        heads=6,
        key_heads=2,
        hidden=384,
        head_width=32,
        states=32,
        dropout=0.1,
    ),
    "paper": Config(),
}
ABOUT = base.About(
    title="Hybrid of Mamba-2 and attention",
    reference="arXiv 2403.19887",
    complexity="O(L²·D/9 + L·D·N)",
    step_memory="O(L)",
    published=150_000_000,
    note="Bamba's layers at a small size: Mamba-2 for Jamba's Mamba, no mixture of experts; 2 of 18 layers attend",
)


class Attention(nn.Module):
    """Grouped-query attention, rotary positions on the first half of each head: (B, L, width) -> the same."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self._cfg = cfg
        narrow = cfg.width // cfg.heads * cfg.key_heads
        self.q_proj = nn.Linear(cfg.width, cfg.width, bias=False)
        self.k_proj = nn.Linear(cfg.width, narrow, bias=False)
        self.v_proj = nn.Linear(cfg.width, narrow, bias=False)
        self.o_proj = nn.Linear(cfg.width, cfg.width, bias=False)

    def __call__(self, x: mx.array, past: KeysValues | None) -> tuple[mx.array, KeysValues]:
        cfg = self._cfg
        offset = 0 if past is None else past[0].shape[2]
        queries = split_heads(self.q_proj(x), cfg.heads)
        keys, values = (split_heads(proj(x), cfg.key_heads) for proj in (self.k_proj, self.v_proj))
        half = queries.shape[-1] // 2
        queries, keys = (rotate(part, offset, cfg.rotary_base, half) for part in (queries, keys))
        known = extend(past, keys, values)
        return self.o_proj(merge_heads(attend(queries, known))), known


class GatedMLP(nn.Module):
    """W₂ (silu(W₁ x) ∘ W₃ x): (B, L, width) -> the same (arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))


class HybridLayer(nn.Module):
    """A mixer and an MLP, each on the normed stream and added to it."""

    def __init__(self, cfg: Config, attends: bool) -> None:
        super().__init__()
        self.mixer_norm = nn.RMSNorm(cfg.width, cfg.eps)
        self.mixer = (
            Attention(cfg)
            if attends
            else SSDMixer(
                cfg.width, cfg.ssd_heads, cfg.head_width, cfg.states, cfg.kernel, cfg.chunk, 2 * cfg.depth, cfg.eps
            )
        )
        self.mlp_norm = nn.RMSNorm(cfg.width, cfg.eps)
        self.mlp = GatedMLP(cfg.width, cfg.hidden)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, state: LayerState | None) -> tuple[mx.array, LayerState]:
        y, state = self.mixer(self.mixer_norm(x), state)
        x = x + self.dropout(y)
        return x + self.dropout(self.mlp(self.mlp_norm(x))), state


class Predictor(base.Predictor):
    """x (B, L, D) -> (B, L, D); the state is each layer's: (convolution's past, memory) or (keys, values)."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [HybridLayer(cfg, i in cfg.attending) for i in range(cfg.depth)]
        self.norm = nn.RMSNorm(cfg.width, cfg.eps)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: list[LayerState] | None = None) -> tuple[mx.array, list[LayerState]]:
        h, after = self.through_layers(self.embed(x), state)
        return self.head(self.norm(h)), after
