"""Training windows: stretches of an article whose every position is predicted, and what these are told apart from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.lvm.data.sentences import Rows, Sentences


class Batch(NamedTuple):
    """B windows of L positions; what a training step takes, in this order."""

    x: mx.array
    """(B, L, D)"""
    target: mx.array
    """(B, L, D) the vector after each."""
    mask: mx.array
    """(B, L) 1 where there is a vector and a next one, else 0."""
    rows: mx.array
    """(B, L) int32, the targets' rows."""
    context: mx.array
    """(B, L) int32, how many rows before the target are its context, which a model at its longest reads."""
    candidates: mx.array
    """(K, D) what a target is to be told from; K = 0 without a contrastive term."""
    candidate_rows: mx.array
    """(K,) int32"""

    def allowed(self) -> mx.array:
        """(B, L, K) whether a candidate counts: it is neither the target nor of its context, as in evaluation."""
        before = self.rows[..., None] - self.candidate_rows
        return (before < 0) | (before > self.context[..., None])


def cut(sentences: Sentences, articles: Rows, context: int, rng: np.random.Generator | None) -> list[tuple[int, int]]:
    """Windows (first row, one past the last) that cover the articles; an article's windows are neighbours.

    With ``rng`` the articles come in random order and their windows begin at a random position, so that each epoch
    shows each vector with other vectors before it.
    """
    found = []
    order = articles if rng is None else rng.permutation(articles)
    for article in order:
        start, end = int(sentences.starts[article]), int(sentences.starts[article + 1]) - 1
        shift = 0 if rng is None or end - start <= context else int(rng.integers(context))
        edges = [start, *range(start + context - shift, end, context), end]
        found += [(a, b) for a, b in pairwise(edges) if a < b]
    return found


def batches(
    sentences: Sentences,
    embeddings: Embeddings,
    articles: Rows,
    *,
    context: int,
    batch: int,
    negatives: int = 0,
    rng: np.random.Generator | None = None,
    start: int = 0,
) -> Iterator[Batch]:
    """Batches of windows, all of one shape; the last is filled up with positions that don't count.

    With negatives the windows of an article stay together, so that its other sentences are candidates; without,
    windows are shuffled one by one. ``start`` leaves out the first ones without reading their vectors.
    """
    windows = cut(sentences, articles, context, rng)
    if rng is not None and not negatives:
        rng.shuffle(windows)
    pool = sentences.rows(articles)
    for first in range(0, len(windows), batch):
        chosen = windows[first : first + batch]
        rows = np.zeros((batch, context), np.int64)
        mask = np.zeros((batch, context), np.float32)
        for n, (a, b) in enumerate(chosen):
            rows[n, : b - a] = np.arange(a, b)
            rows[n, b - a :] = a
            mask[n, : b - a] = 1
        rows[len(chosen) :] = chosen[0][0]
        candidates = _candidates(rows, pool, batch * context + negatives, rng) if negatives else np.zeros(0, np.int64)
        if first // batch < start:
            continue
        yield Batch(
            mx.array(embeddings[rows]),
            mx.array(embeddings[rows + 1]),
            mx.array(mask),
            mx.array((rows + 1).astype(np.int32)),
            mx.array(np.minimum(context, sentences.position[rows + 1]).astype(np.int32)),
            mx.array(embeddings[candidates]),
            mx.array(candidates.astype(np.int32)),
        )


def _candidates(rows: Rows, pool: Rows, count: int, rng: np.random.Generator | None) -> Rows:
    """The batch's own sentences, each once, and random others."""
    own = np.unique(np.concatenate([rows.ravel(), rows.ravel() + 1]))[:count]
    rng = rng or np.random.default_rng(0)
    return np.concatenate([own, rng.choice(pool, count - len(own))])
