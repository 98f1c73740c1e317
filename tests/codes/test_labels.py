"""Labels as numbers, against loops over the words."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from tests.tolerances import close
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights, label_loss, read_labels_off_codes
from wotd_mlx.config import CodesConfig
from wotd_mlx.schemas import Attribute

ATTRIBUTES = (Attribute("size", ("small", "large")), Attribute("hue", ("red", "green", "blue")))


def made(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """IDs (n, 2) of 7 and 4 codes, of which 1 and 5 of the first have no label; labels (n, 2), rare and common."""
    rng = np.random.default_rng(0)
    labels = np.stack([(rng.random(n) < 0.15).astype(int), rng.choice(3, n, p=[0.6, 0.3, 0.1])], axis=1)
    labels[rng.random((n, 2)) < 0.3] = -1
    ids = np.stack([rng.integers(0, 7, n), rng.integers(0, 4, n)], axis=1)
    labels[np.isin(ids[:, 0], [1, 5]), 0] = -1
    return ids, labels


def test_weights_make_each_value_as_heavy_as_another():
    _, labels = made()
    weights = balanced_weights(labels)
    for n, row in enumerate(labels.tolist()):
        for a, v in enumerate(row):
            there = labels[:, a][labels[:, a] >= 0].tolist()
            want = len(there) / len(set(there)) / there.count(v) if v >= 0 else 0
            close(weights[n, a], want, "sum_order")


def test_a_code_tells_the_share_of_each_value_with_rare_ones_weighed_up():
    ids, labels = made()
    model = Autoencoder(5, CodesConfig("fsq", (7, 4)), ATTRIBUTES)
    read_labels_off_codes(model, ids, labels)
    weights = balanced_weights(labels)
    for a, (k, values) in enumerate(((7, 2), (4, 3))):
        table = np.zeros((k, values))
        for n in range(len(ids)):
            if labels[n, a] >= 0:
                table[ids[n, a], labels[n, a]] += weights[n, a]
        filled = [code for code in range(k) if table[code].any()]
        for code in range(k):
            near = min(filled, key=lambda other: (abs(other - code), other))
            close(model.tables[a][code], table[near] / table[near].sum(), "sum_order")
    assert filled == list(range(4))
    # Unweighted, the common value would win in codes where the rare one does.
    plain = np.zeros((7, 2))
    np.add.at(plain, (ids[labels[:, 0] >= 0, 0], labels[labels[:, 0] >= 0, 0]), 1)
    assert (plain.argmax(axis=1) != np.array(model.tables[0]).argmax(axis=1)).any()


def test_the_loss_is_over_labelled_rows_weighted():
    _, labels = made(12)
    rng = np.random.default_rng(1)
    logits, weights = [rng.normal(size=(12, v)) for v in (2, 3)], rng.uniform(0.5, 2, (12, 2))
    weights[labels < 0] = 0
    want = 0.0
    for a, logit in enumerate(logits):
        log_p = logit - np.log(np.exp(logit).sum(axis=1, keepdims=True))
        known = labels[:, a] >= 0
        want -= (weights[known, a] * log_p[known, labels[known, a]]).sum() / known.sum()
    got = label_loss([mx.array(part) for part in logits], mx.array(np.maximum(labels, 0)), mx.array(weights))
    close(got, want, "sum_order")
    close(label_loss([mx.array(logits[0])], mx.array(labels[:, :1] * 0), mx.zeros((12, 1))), 0.0, "exact")
