"""Linformer: attention over a fixed number of slots that hold projections of all keys and values, made causal."""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import Count, Part
from wotd_mlx.dropout import Dropout
from wotd_mlx.lvm.parts import base
from wotd_mlx.lvm.parts.attention import merge_heads, split_heads
from wotd_mlx.lvm.parts.chunks import cut, joined, sums_before
from wotd_mlx.lvm.parts.prenorm import Block
from wotd_mlx.schemas import WotdError

Slots = tuple[mx.array, mx.array]
"""Projected keys and values, (B, H, N, W) each."""
State = tuple[int, list[Slots]]
"""How many vectors were read, and each layer's slots."""


@dataclass(frozen=True)
class Config(base.Config):
    """Shape of the model.

    Args:
        dims: D, size of the vectors.
        width: size of what runs through the blocks.
        depth: number of blocks.
        heads: H.
        slots: N, how many keys and values the sequence is projected to (the paper's k).
        longest: how many vectors can be read; each position has its own rows of the projections.
        dropout: on the attention's weights and within the feed-forward part.
        chunk: how many positions are compared with one another directly; memory grows with L · chunk.
    """

    dims: Count = 768
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    slots: Count = 128
    longest: Count = 4096
    dropout: Part = 0.1
    chunk: Count = 64


PRESETS = {
    "tiny": Config(dims=384, width=256, depth=2, heads=4, slots=32, longest=512),
    "paper": Config(),
}
ABOUT = base.About(
    title="Linformer, attention over projected keys and values, causal",
    reference="arXiv 2006.04768",
    complexity="O(L·N·D)",
    step_memory="O(1)",
    published=100_000_000,
    note="published for whole sequences; here each position sees the projection of what was read so far",
)


def slot_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    rows: tuple[mx.array, mx.array],
    past: Slots | None,
    chunk: int,
    dropout: nn.Dropout,
) -> tuple[mx.array, Slots]:
    """softmax(q_t K̃_tᵀ / √W) Ṽ_t with K̃_t = Σ_{s≤t} E_sᵀ k_s and Ṽ_t = Σ_{s≤t} F_sᵀ v_s, in chunks of C positions.

    K̃_t is never formed for each t: within a chunk q_t K̃_tᵀ is (q kᵀ, the future cut off) E, and what went before the
    chunk stands in its slots.

    Args:
        rows: E and F at these positions.
        past: slots after what was read before; None for nothing.

    Shape:
        queries, keys and values (B, H, L, W), rows (L, N), past (B, H, N, W) -> (B, H, L, W), slots.
    """
    L, W = queries.shape[2:]
    e, f = rows
    queries = queries * W**-0.5
    if L == 1:
        # One position is an outer product, not a matrix product a head.
        own = e.T * keys, f.T * values
        after = own if past is None else (past[0] + own[0], past[1] + own[1])
        return dropout(mx.softmax(queries @ after[0].swapaxes(-1, -2), axis=-1)) @ after[1], after

    long = chunk < L
    if long:
        queries, keys, values, e, f = (cut(x, chunk) for x in (queries, keys, values, e, f))
    own = e.swapaxes(-1, -2) @ keys, f.swapaxes(-1, -2) @ values
    before = past
    if long:
        before = sums_before(own[0], past and past[0]), sums_before(own[1], past and past[1])
    scores = mx.tril(queries @ keys.swapaxes(-1, -2)) @ e
    if before is not None:
        scores = scores + queries @ before[0].swapaxes(-1, -2)
    weights = dropout(mx.softmax(scores, axis=-1))
    out = mx.tril(weights @ f.swapaxes(-1, -2)) @ values
    if before is not None:
        out = out + weights @ before[1]
        own = before[0] + own[0], before[1] + own[1]
    if long:
        out, own = joined(out, L), (own[0][:, :, -1], own[1][:, :, -1])
    return out, own


def projection(cfg: Config) -> mx.array:
    """A length projection (longest, N), drawn as linformer's."""
    bound = cfg.slots**-0.5
    return mx.random.uniform(-bound, bound, (cfg.longest, cfg.slots))


class SelfAttention(nn.Module):
    """Attention of H heads over N slots; E and F are the layer's own and shared by its heads."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        self.query = nn.Linear(cfg.width, cfg.width, bias=False)
        self.key = nn.Linear(cfg.width, cfg.width, bias=False)
        self.value = nn.Linear(cfg.width, cfg.width, bias=False)
        self.out = nn.Linear(cfg.width, cfg.width)
        self.key_rows = projection(cfg)
        self.value_rows = projection(cfg)
        self.dropout = Dropout(cfg.dropout)

    def __call__(self, x: mx.array, past: Slots | None, position: int) -> tuple[mx.array, Slots]:
        """x (B, L, D) and slots -> (B, L, D) and the slots after it."""
        end = position + x.shape[1]
        rows = self.key_rows[position:end], self.value_rows[position:end]
        queries, keys, values = (split_heads(part(x), self.cfg.heads) for part in (self.query, self.key, self.value))
        out, slots = slot_attention(queries, keys, values, rows, past, self.cfg.chunk, self.dropout)
        return self.out(merge_heads(out)), slots


class Predictor(base.Predictor):
    r"""A stack of blocks that attend to N slots instead of L keys.

    .. math:: \mathrm{softmax}(q_t (E_{≤t}^⊤ K_{≤t})^⊤ / \sqrt{W}) \, F_{≤t}^⊤ V_{≤t}

    At its last position this is the published layer; at an earlier one it is that layer on the sequence so far, zeros
    after it. Positions are learned, so ``longest`` vectors can be read.

    Shape:
        x (B, L, D) -> (B, L, D); the state is constant in size.
    Reference:
        Wang et al., "Linformer: Self-Attention with Linear Complexity", arXiv 2006.04768, equation 7. Departures: the
        causal form above, since the published one looks ahead; blocks are pre-norm with a norm before the last
        layer, as in the linformer package, where the paper has RoBERTa's.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        self.longest = cfg.longest
        self.embed = nn.Linear(cfg.dims, cfg.width)
        self.position = nn.Embedding(cfg.longest, cfg.width)
        self.layers = [
            Block(cfg.width, SelfAttention(cfg), cfg.dropout, drops_attention=False) for _ in range(cfg.depth)
        ]
        self.norm = nn.LayerNorm(cfg.width)
        self.head = nn.Linear(cfg.width, cfg.dims)

    def __call__(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """x (B, L, D) -> predictions (B, L, D) and the state.

        Raises:
            WotdError: more vectors than there are positions.
        """
        position, past = state or (0, None)
        end = position + x.shape[1]
        if end > self.longest:
            raise WotdError(
                f"linformer got {end} vectors, and reads {self.longest} at most; shorten the context or raise longest"
            )
        h = self.embed(x) + self.position.weight[position:end]
        h, after = self.through_layers(h, past, position)
        return self.head(self.norm(h)), (end, after)
