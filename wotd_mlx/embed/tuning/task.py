"""The contrast that a delta is trained by, as a task for the trainer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.config.tuning import TuningConfig
from wotd_mlx.embed.bert import Group
from wotd_mlx.embed.delta import add_delta
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.tuning.pairs import Batch, Pairs
from wotd_mlx.kernels.threads import one_blas_thread
from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.state import TrainState
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task

SAMPLES = 8
"""Batches of each kind from which the groups' lengths are taken."""


@dataclass
class TuningState(TrainState):
    """How far the tuning has come."""

    history: list[float] = field(default_factory=list)
    """The mean contrast between one record and the next."""


def contrast(queries: mx.array, documents: mx.array, alike: mx.array, scale: float) -> mx.array:
    r"""InfoNCE in both directions, over strangers alone.

    .. math::
        -\tfrac{1}{2N} \sum_i \left[ \log \frac{e^{s q_i d_i}}{e^{s q_i d_i} + \sum_{j \not\sim i} e^{s q_i d_j}}
        + \log \frac{e^{s q_i d_i}}{e^{s q_i d_i} + \sum_{j \not\sim i} e^{s q_j d_i}} \right]

    Shape: queries (N, D), documents (M, D), M ≥ N, of unit length; alike (N, M), 1 where a document is no stranger to
    a query -> ().
    Reference:
        van den Oord et al. 2018, arXiv 1807.03748; with hard negatives as in Gao et al. 2021, arXiv 2104.08821.
    """
    N = len(queries)
    scores = scale * (queries @ documents.T)
    right = mx.diagonal(scores)
    others = mx.where(alike, -1e4, scores)
    both = (others, others[:, :N].T)
    totals = [mx.logsumexp(mx.concatenate([right[:, None], part], axis=1), axis=1) for part in both]
    return (0.5 * (totals[0] + totals[1]) - right).mean()


def divergence(vectors: mx.array, before: mx.array, scale: float) -> mx.array:
    r"""How far the neighbourhoods of a batch's texts moved: Kullback and Leibler's divergence of their softmaxes.

    .. math::
        \tfrac1N \sum_i \sum_{j \ne i} p_{ij} \log \frac{p_{ij}}{q_{ij}}, \quad
        q_{ij} = \frac{e^{s v_i v_j}}{\sum_{k \ne i} e^{s v_i v_k}}, \quad p \text{ the same of the vectors before}

    A contrast pushes words apart that belong together without being synonyms, such as *coffee* and *cup*; this holds
    them. What all cosines of a row have in common may change.

    Shape: vectors and before (N, D) of unit length -> ().
    Reference:
        Hinton et al. 2015, arXiv 1503.02531; of similarities, as in Fang et al. 2021, arXiv 2101.04731.
    """
    itself = 1e4 * mx.eye(len(vectors))
    now, then = (scale * (v @ v.T) - itself for v in (vectors, before))
    now, then = (x - mx.logsumexp(x, axis=1, keepdims=True) for x in (now, then))
    return (mx.exp(then) * (then - now)).sum(axis=1).mean()


class TuningTask(Task[TuningState]):
    """Steps of one kind of pairs each, the kinds in random order by their shares.

    Args:
        embedder: whose encoder gets a delta, in place; its tokenizer is used too.
    """

    figures = ("loss", "contrast")
    evaluates_epochs = False

    def __init__(self, embedder: BertEmbedder, pairs: Pairs, cfg: TuningConfig):
        self.tokenizer, self.pairs, self.cfg, self.seed = embedder.tokenizer, pairs, cfg, cfg.seed
        self.model = embedder.bert
        self.plain = copy.copy(self.model)
        self.plain.layers = [copy.copy(layer) for layer in self.model.layers]
        add_delta(self.model, cfg.rank, cfg.seed)
        shares = {kind: share for kind, share in asdict(cfg.kinds).items() if share}
        self.kinds, self.shares = [*shares], np.array([*shares.values()]) / sum(shares.values())

    def step(self, compiled: bool = True) -> Step:
        """Steps by AdamW; the running average is what is kept."""
        optimizer = optim.AdamW(self.cfg.learning_rate, weight_decay=self.cfg.weight_decay)
        return Step(self, optimizer, clip=self.cfg.clip, ema=self.cfg.average, compiled=compiled)

    @cached_property
    def lengths(self) -> dict[str, list[int]]:
        """Of each kind, the tokens of each group: nearly all texts fit uncut, and all steps have one shape."""
        out = {}
        for number, kind in enumerate(self.kinds):
            rng = np.random.default_rng([self.seed, number])
            drawn = [self._tokens(self.pairs.draw(kind, self.cfg.pairs, rng)) for _ in range(SAMPLES)]
            sizes = np.array([sorted(map(len, tokens)) for tokens in drawn])
            out[kind] = [int(sizes[:, end - 1].max()) for end in _ends(sizes.shape[1], self.cfg.groups)]
        return out

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """(alike, order, ids and mask of each group)."""
        for n in range(start, self.cfg.steps):
            rng = np.random.default_rng([self.seed, epoch, n])
            kind = self.kinds[rng.choice(len(self.kinds), p=self.shares)]
            yield [self.packed(self.pairs.draw(kind, self.cfg.pairs, rng), self.lengths[kind])]

    def packed(self, batch: Batch, lengths: Sequence[int]) -> tuple[mx.array, ...]:
        """A batch's texts, sorted by length and padded group by group; a text longer than its group is cut."""
        tokens = self._tokens(batch)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        back = np.empty(len(order), np.int32)
        back[order] = np.arange(len(order))
        groups: list[mx.array] = []
        start = 0
        for end, length in zip(_ends(len(order), len(lengths)), lengths, strict=True):
            ids, mask = _padded([_cut(tokens[row], length) for row in order[start:end]], length)
            groups += [mx.array(ids), mx.array(mask)]
            start = end
        return (mx.array(batch.alike), mx.array(back), *groups)

    def loss(self, alike: mx.array, order: mx.array, *groups: mx.array) -> tuple[mx.array, ...]:
        r""":math:`(1 - k)` contrast :math:`+ k` divergence, k the config's ``keep``; and the contrast alone."""
        texts = [Group(ids, mask) for ids, mask in zip(groups[::2], groups[1::2], strict=True)]
        (*_, vectors), N, keep = self.model.ragged(texts), len(alike), self.cfg.keep
        vectors = vectors[order]
        told = contrast(vectors[:N], vectors[N:], alike, self.cfg.scale)
        if not keep:
            return told, told
        *_, before = self.plain.ragged(texts)
        return (1 - keep) * told + keep * divergence(vectors, before[order], self.cfg.scale), told

    def rate(self, step: int, state: TuningState) -> float:
        """Up over the warm-up, then along a cosine to nothing."""
        return self.cfg.learning_rate * warmup_cosine(step, self.cfg.steps, self.cfg.warmup)

    def ended(self, state: TuningState) -> bool:
        """Whether all steps are taken."""
        return state.step >= self.cfg.steps

    def computing(self) -> AbstractContextManager[None]:
        """Each product in one thread: the same sums, and so the same bytes, on however many cores; and two threads that
        wait for each other are slower than one where other programs run."""
        return one_blas_thread()

    def due(self, state: TuningState) -> bool:
        """Evenly over the steps."""
        return state.step > 0 and state.step % -(-self.cfg.steps // self.cfg.evaluations) == 0

    def record(self, state: TuningState, valid: list[float], rate: float, best: bool) -> float:
        """The mean contrast."""
        return state.means[1]

    def _tokens(self, batch: Batch) -> list[list[int]]:
        found = self.tokenizer.encode_batch_fast([*batch.queries, *batch.documents])
        return [_cut(encoding.ids, self.cfg.longest) for encoding in found]


def _ends(count: int, groups: int) -> list[int]:
    return [count * (k + 1) // groups for k in range(groups)]


def _cut(ids: list[int], length: int) -> list[int]:
    """The first tokens, and the last, which marks the end."""
    return ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]


def _padded(rows: Sequence[list[int]], length: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    ids, mask = np.zeros((len(rows), length), np.int32), np.zeros((len(rows), length), np.float32)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return ids, mask
