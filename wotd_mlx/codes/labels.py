"""Labels as numbers: what training is told of them, and what codes tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.schemas import Attribute, Word

if TYPE_CHECKING:
    from wotd_mlx.codes.autoencoder import Autoencoder


def label_matrix(words: Sequence[Word], attributes: Sequence[Attribute]) -> Indices:
    """(N, A) the number of each word's value of each attribute; -1 where it has none that the attribute lists."""
    numbers = [{value: v for v, value in enumerate(a.values)} for a in attributes]
    rows = [
        [number.get(w.labels.get(a.name, ""), -1) for a, number in zip(attributes, numbers, strict=True)] for w in words
    ]
    return np.array(rows, np.int64).reshape(len(words), len(attributes))


def balanced_weights(labels: Indices) -> Vectors:
    """labels (N, A) -> weights (N, A): 0 where unlabelled, else such that each value counts alike and the mean is 1."""
    weights = np.zeros(labels.shape, np.float32)
    for a in range(labels.shape[1]):
        known = labels[:, a] >= 0
        values, counts = np.unique(labels[known, a], return_counts=True)
        for value, count in zip(values, counts, strict=True):
            weights[labels[:, a] == value, a] = known.sum() / (len(values) * count)
    return weights


def label_loss(logits: list[mx.array], labels: mx.array, weights: mx.array) -> mx.array:
    """Cross-entropy of each attribute's logits (B, V) with labels (B, A), weighted (B, A), over the labelled rows;
    their sum."""
    total = mx.array(0.0)
    for a, logit in enumerate(logits):
        crossed = nn.losses.cross_entropy(logit, labels[:, a], weights=weights[:, a])
        total = total + crossed.sum() / mx.maximum((weights[:, a] > 0).sum(), 1)
    return total


def read_labels_off_codes(model: Autoencoder, ids: Indices, labels: Indices) -> None:
    """Fill ``model.tables`` from ids (N, Q) and labels (N, A): what share each value has among the words with a code.

    Values count alike however many words bear them; a code without labelled words takes its nearest neighbour's row
    along the coordinate. Codes that are laid out by values read as these alone, and those of none have no share.
    """
    if model.quantizer.laid_out:
        read = zip(model.quantizer.code_values(), model.tables, strict=True)
        model.tables = [mx.array(values[:, None] == np.arange(table.shape[1]), mx.float32) for values, table in read]
        return
    weights = balanced_weights(labels)
    tables = []
    for a, table in enumerate(model.tables):
        counts = np.zeros(table.shape)
        known = labels[:, a] >= 0
        np.add.at(counts, (ids[known, a], labels[known, a]), weights[known, a])
        filled = np.flatnonzero(counts.sum(axis=1))
        if len(filled):
            nearest = filled[np.abs(np.arange(len(counts))[:, None] - filled).argmin(axis=1)]
            counts = counts[nearest] / counts[nearest].sum(axis=1, keepdims=True)
        tables.append(mx.array(counts, mx.float32))
    model.tables = tables
