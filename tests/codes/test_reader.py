"""What a vector says of each attribute, against the formulas in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.codes.reader import Reader


def made() -> tuple[Reader, np.ndarray, list[np.ndarray]]:
    """A reader of three attributes, the second without any labelled word; latents, and its posteriors by hand."""
    rng = np.random.default_rng(0)
    mx.random.seed(0)
    reader = Reader(5, (2, 4, 3)).eval()
    reader.down.weight = 8 * reader.down.weight
    reader.prior = mx.array([0.9, 0.1, 0, 0, 0, 0, 0.2, 0.5, 0.3])
    z = rng.normal(size=(6, 5)).astype(np.float32)
    (w1, b1), (w2, b2) = ((np.array(p.weight, np.float64), np.array(p.bias)) for p in (reader.up, reader.down))
    rows = np.exp(np.maximum(z @ w1.T + b1, 0) @ w2.T + b2)
    parts = [part / part.sum(axis=1, keepdims=True) for part in np.split(rows, [2, 6], axis=1)]
    return reader, z, [parts[0], 0 * parts[1], parts[2]]


def test_posteriors_are_those_of_one_hidden_layer_and_nothing_where_no_word_is_labelled():
    reader, z, parts = made()
    for got, want in zip(reader(mx.array(z)), parts, strict=True):
        close(got, want, "sum_order")


def test_both_layers_learn_and_nothing_else():
    reader, *_ = made()
    assert {name for name, _ in tree_flatten(reader.trainable_parameters())} == {
        "up.weight", "up.bias", "down.weight", "down.bias"
    }  # fmt: skip


def test_the_prior_counts_labelled_words_alone():
    labels = np.array([[1, -1, 2], [1, -1, -1], [-1, -1, 1], [0, -1, 1], [-1, -1, -1], [1, -1, 2]])
    reader = Reader(5, (2, 4, 3))
    reader.fit(np.zeros((6, 5), np.float32), labels, np.ones((6, 3), np.float32), 0, lambda n: None, fuse=False)
    close(reader.prior, [1 / 4, 3 / 4, 0, 0, 0, 0, 0, 1 / 2, 1 / 2], "sum_order")
    # The mean weight is that of the reader's own posteriors.
    z = mx.zeros((6, 5))
    for a, (part, prior) in enumerate(zip(reader(z), np.split(np.array(reader.prior), [2, 6]), strict=True)):
        close(reader.weight[a], (1 / np.maximum(np.array(part) @ prior, 1e-6)).mean(), "sum_order")


def test_a_gain_weighs_words_of_rare_values_more():
    reader, z, parts = made()
    reader.weight = mx.array([1.5, 1.0, 0.25])
    priors = np.split(np.array(reader.prior, np.float64), [2, 6])
    for a, got in enumerate(reader.label_gain(mx.array(z))):
        weight = 1 / np.maximum(parts[a] @ priors[a], 1e-6)
        close(got, parts[a] * weight[:, None] / [1.5, 1.0, 0.25][a], "sum_order")
