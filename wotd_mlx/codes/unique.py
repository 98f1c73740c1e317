"""IDs of their own for words that would share one, at a bounded cost in distance."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.metrics import collision_rate

# By how much the words' mean distance to what their IDs stand for may grow.
BUDGET = 0.02


_AT_ONCE = 1 << 24
"""Numbers of candidates' vectors that are held together."""
_KEPT = 512
"""Candidates of a word, the nearest: a coordinate of 2,048 codes makes 16,000 of them."""


class Unique(NamedTuple):
    """The IDs (N, Q); the share of words that shared theirs, and now do; the growth of the mean distance."""

    ids: Indices
    before: float
    after: float
    cost: float


def make_unique(model: Autoencoder, x: Embeddings, ids: Indices, budget: float = BUDGET) -> Unique:
    """Give words with embeddings x (N, D) and ids (N, Q) different IDs, as far as the budget goes.

    A greedy matching of words to IDs: of all pairs (word, candidate ID), the one that adds the least distance goes
    first; a word that holds an ID and an ID that is held are passed over. Words whose embeddings are equal
    (differently written, the same to the embedding) are told apart all the same. Who finds no free ID keeps its own.
    Codes of whole vectors stay as they are: alike are only vectors that are.
    """
    before = collision_rate(ids)
    if not before or model.quantizer.whole:
        return Unique(ids, before, before, 0.0)
    levels = model.quantizer.levels
    each = model.candidates(mx.array(x[:1]), mx.array(ids[:1])).shape[1] + 1
    step = max(1, _AT_ONCE // (each * x.shape[1]))
    parts = [_candidates(model, x[i : i + step], ids[i : i + step]) for i in range(0, len(x), step)]
    candidates, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    n, c, _ = candidates.shape
    added = np.maximum(distances - distances[:, :1], 0)
    keys = np.ravel_multi_index(tuple(np.moveaxis(candidates, -1, 0)), levels)
    chosen, taken, spent, allowed = np.full(n, -1), set[int](), 0.0, budget * distances[:, 0].sum()
    for flat in np.argsort(added, axis=None, kind="stable"):
        word, candidate = divmod(int(flat), c)
        if chosen[word] >= 0 or keys[word, candidate] in taken or spent + added[word, candidate] > allowed:
            continue
        chosen[word] = candidate
        taken.add(keys[word, candidate])
        spent += added[word, candidate]
    chosen = np.maximum(chosen, 0)
    out = candidates[np.arange(n), chosen]
    cost = float(distances[np.arange(n), chosen].sum() / max(distances[:, 0].sum(), 1e-12) - 1)
    return Unique(out, before, collision_rate(out), cost)


def _candidates(model: Autoencoder, x: Embeddings, ids: Indices) -> tuple[Indices, Embeddings]:
    """Words' own IDs and others for them, (B, C, Q), and how far each is from the word, (B, C)."""
    others = np.asarray(model.candidates(mx.array(x), mx.array(ids)))
    found = np.concatenate([ids[:, None], others], axis=1).astype(np.int64)
    b, c, _ = found.shape
    decoded = np.asarray(model.decode(mx.array(found.reshape(b * c, -1), mx.int32))).reshape(b, c, -1)
    distances: Embeddings = np.sqrt(((x[:, None] - decoded) ** 2).sum(axis=-1))
    if c <= _KEPT:
        return found, distances
    nearest = np.argsort(distances[:, 1:], axis=1, kind="stable")[:, : _KEPT - 1] + 1
    kept = np.sort(np.concatenate([np.zeros((b, 1), np.int64), nearest], axis=1), axis=1)
    return np.take_along_axis(found, kept[..., None], axis=1), np.take_along_axis(distances, kept, axis=1)
