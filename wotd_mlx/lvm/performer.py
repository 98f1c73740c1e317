"""Performer: softmax attention estimated by positive random features, so that what was read folds into one sum."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part, Positive
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.attention import merge_heads, split_heads
from wotd_mlx.lvm.parts.chunks import cut, joined, sums_before
from wotd_mlx.lvm.parts.prenorm import Block
from wotd_mlx.lvm.parts.rotary import rotate

State = tuple[int, list[mx.array]]
"""How many vectors were read, and each layer's sums (B, H, N, W + 1)."""


@dataclass(frozen=True)
class Config(base.Config):
    """Shape of the model.

    Args:
        dims: D, size of the vectors.
        width: size of what runs through the blocks.
        depth: number of blocks.
        heads: H.
        head_width: W, size of a head; even, for the rotary positions.
        features: N, random features of a query or key; about W log W are enough by the paper's theorem 4.
        dropout: after the attention and within the feed-forward part.
        epsilon: added to every feature, so that no sum of them is 0; a key's features are 1 on average.
        chunk: how many positions are compared with one another directly; memory grows with L · chunk.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 16
    heads: Count = 8
    head_width: Count = 64
    features: Count = 266
    dropout: Part = 0.1
    epsilon: Positive = 1e-4
    chunk: Count = 64


PRESETS = {
    "tiny": Config(dims=384, width=256, depth=2, heads=4, features=64),
    "paper": Config(),
}
ABOUT = base.About(
    title="Performer, FAVOR+ causal linear attention",
    reference="arXiv 2009.14794",
    complexity="O(L·N·D)",
    step_memory="O(1)",
    published=100_000_000,
    note="16 blocks of the reference table's form, which has 6 and so 38M",
)


def orthogonal_gaussian(rows: int, columns: int) -> mx.array:
    """Vectors (rows, columns), each normal, orthogonal to the others of its block of ``columns`` rows.

    The paper's section 3.2. The sign of R's diagonal moves into Q: without that Q is not uniform among rotations
    (LAPACK reflects the first column to one side always), and the features would estimate another kernel.
    """
    blocks = -(-rows // columns)
    # Not every device has a QR decomposition; the CPU does.
    q, r = mx.linalg.qr(mx.random.normal((blocks, columns, columns)), stream=mx.cpu)
    q = q * mx.sign(mx.diagonal(r, axis1=-2, axis2=-1))[:, None, :]
    directions = q.swapaxes(-1, -2).reshape(blocks * columns, columns)[:rows]
    return directions * mx.linalg.norm(mx.random.normal((rows, columns)), axis=-1, keepdims=True)


def half_square(x: mx.array) -> mx.array:
    """|x|²/2, (..., W) -> (..., 1)."""
    return 0.5 * mx.square(x).sum(axis=-1, keepdims=True)


def query_features(x: mx.array, directions: mx.array, epsilon: float) -> mx.array:
    """φ(q) = exp(ω·q − |q|²/2 − maxₙ ω·q) + ε; (..., W) -> (..., N).

    The maximum is the query's own: it sees no other position, and cancels but for ε.
    """
    along = x @ directions.T
    highest = mx.stop_gradient(along.max(axis=-1, keepdims=True))
    return mx.exp(along - (highest + half_square(x))) + epsilon


def key_features(x: mx.array, directions: mx.array, epsilon: float) -> mx.array:
    """φ(k) = exp(ω·k − |k|²/2) + ε; (..., W) -> (..., N).

    Nothing is taken off, so a key is the same whatever comes after it. Its features have mean 1 over the draws of ω
    and none is above exp(|ω|²/2), far within fp32.
    """
    return mx.exp(x @ directions.T - half_square(x)) + epsilon


def linear_attention(
    queries: mx.array, keys: mx.array, values: mx.array, sums: mx.array | None, chunk: int
) -> tuple[mx.array, mx.array]:
    """out_t = Σ_{s≤t} (φ(q_t)·φ(k_s)) v_s / Σ_{s≤t} φ(q_t)·φ(k_s), in chunks of C positions.

    A chunk's positions are compared with one another directly; what went before them stands in sums of φ(k) vᵀ.

    Shape:
        features (B, H, L, N), values (B, H, L, W), sums (B, H, N, W + 1) -> (B, H, L, W), sums.
    """
    L = queries.shape[2]
    # The values' last column is 1: its sums are those of φ(k), the denominators.
    values = mx.concatenate([values, mx.ones((*values.shape[:-1], 1), dtype=values.dtype)], axis=-1)
    if L == 1:
        own = keys.swapaxes(-1, -2) @ values
        after = own if sums is None else sums + own
        out = queries @ after
        return out[..., :-1] / out[..., -1:], after

    long = chunk < L
    if long:
        queries, keys, values = (cut(x, chunk) for x in (queries, keys, values))
    own = keys.swapaxes(-1, -2) @ values
    before = sums_before(own, sums) if long else sums
    out = mx.tril(queries @ keys.swapaxes(-1, -2)) @ values
    if before is not None:
        out = out + queries @ before
        own = before + own
    if long:
        out, own = joined(out, L), own[:, :, -1]
    return out[..., :-1] / out[..., -1:], own


class FastAttention(nn.Module):
    """Causal FAVOR+ attention of H heads, its queries and keys turned by their positions.

    The directions ω are drawn once and kept with the weights; training doesn't move them.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        inner = cfg.heads * cfg.head_width
        self.query = nn.Linear(cfg.width, inner)
        self.key = nn.Linear(cfg.width, inner)
        self.value = nn.Linear(cfg.width, inner)
        self.out = nn.Linear(inner, cfg.width)
        self.directions = orthogonal_gaussian(cfg.features, cfg.head_width)
        self.freeze(keys="directions", recurse=False)

    def __call__(self, x: mx.array, sums: mx.array | None, position: int) -> tuple[mx.array, mx.array]:
        """x (B, L, D) and sums (B, H, N, W + 1) -> (B, L, D) and the sums after it."""
        cfg = self.cfg
        # Half of softmax's 1 / √W on either side.
        scale = cfg.head_width**-0.25
        queries, keys = (
            rotate(split_heads(part(x), cfg.heads), position, 10_000.0) * scale for part in (self.query, self.key)
        )
        queries = query_features(queries, self.directions, cfg.epsilon)
        keys = key_features(keys, self.directions, cfg.epsilon)
        out, sums = linear_attention(queries, keys, split_heads(self.value(x), cfg.heads), sums, cfg.chunk)
        return self.out(merge_heads(out)), sums


class Predictor(base.Predictor):
    r"""A stack of blocks whose attention costs the same at every position.

    .. math:: e^{q·k} = \mathbb{E}_{ω ∼ N(0, I)} [e^{ω·q − |q|²/2} \, e^{ω·k − |k|²/2}]

    With N orthogonal ω the attention is φ(q)·Σ φ(k) vᵀ over φ(q)·Σ φ(k): a sum over what was read.

    Shape:
        x (B, L, D) -> (B, L, D); the state is constant in size.
    Reference:
        Choromanski et al., "Rethinking Attention with Performers", arXiv 2009.14794: positive features (lemma 1),
        orthogonal ones (section 3.2), prefix sums (appendix B.1). Departures: ε is added to keys' features without a
        maximum over the sequence, which would look ahead; features are not redrawn while training, so that a state
        and a checkpoint stay valid; positions are rotary, as in performer-pytorch's language model, and the input has
        none added, because a vector of length 1 would drown in them.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.layers = [
            Block(cfg.width, FastAttention(cfg), cfg.dropout, drops_attention=True) for _ in range(cfg.depth)
        ]
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """x (B, L, D) -> predictions (B, L, D) and the state."""
        position, past = state or (0, None)
        h, after = self.through_layers(self.embed(x), past, position)
        return self.head(self.norm(h)), (position + x.shape[1], after)
