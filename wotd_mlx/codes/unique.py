"""IDs of their own for words that would share one, at a bounded cost in distance."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.metrics import collision_rate

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]

# By how much the words' mean distance to what their IDs stand for may grow.
BUDGET = 0.02


class Unique(NamedTuple):
    """The IDs (N, Q); the share of words that shared theirs, and now do; the growth of the mean distance."""

    ids: Indices
    before: float
    after: float
    cost: float


def make_unique(model: Autoencoder, x: Vectors, ids: Indices, budget: float = BUDGET) -> Unique:
    """Give words with embeddings x (N, D) and ids (N, Q) different IDs, as far as the budget goes.

    A greedy matching of words to IDs: of all pairs (word, candidate ID), the one that adds the least distance goes
    first; a word that holds an ID and an ID that is held are passed over. Words whose embeddings are equal
    (differently written, the same to the embedding) are told apart all the same. Who finds no free ID keeps its own.
    """
    levels = model.quantizer.levels
    candidates = np.concatenate(
        [ids[:, None], np.asarray(model.candidates(mx.array(x), mx.array(ids)))], axis=1
    ).astype(np.int64)
    n, c, _ = candidates.shape
    decoded = np.asarray(model.decode(mx.array(candidates.reshape(n * c, -1), mx.int32))).reshape(n, c, -1)
    distances = np.sqrt(((x[:, None] - decoded) ** 2).sum(axis=-1))
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
    return Unique(out, collision_rate(ids), collision_rate(out), cost)
