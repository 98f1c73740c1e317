"""What a vector says of each attribute, against the formulas in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from tests.tolerances import close
from wotd_mlx.codes.metrics import expected_calibration_error, reliability
from wotd_mlx.codes.reader import ENOUGH, Reader, likeliest
from wotd_mlx.config.codes import ReaderConfig


def made() -> tuple[Reader, np.ndarray, list[np.ndarray]]:
    """A reader of three attributes, the second without any labelled word; vectors, and its posteriors by hand."""
    rng = np.random.default_rng(0)
    mx.random.seed(0)
    reader = Reader(5, (2, 4, 3)).eval()
    reader.down.weight = 8 * reader.down.weight
    reader.linear.weight = mx.array(0.2 * rng.normal(size=(9, 5)), mx.float32)
    reader.mean, reader.scale = (mx.array(rng.uniform(0.5, 2, 5), mx.float32) for _ in range(2))
    reader.prior = mx.array([0.9, 0.1, 0, 0, 0, 0, 0.2, 0.5, 0.3])
    reader.sharpness = mx.array([0.5, 1.0, 2.0])
    reader.offset = mx.array([0.3, -0.2, 0, 0, 0, 0, 1.0, -1.0, 0.0])
    z = rng.normal(size=(40, 5)).astype(np.float32)
    (w1, b1), (w2, b2) = ((np.array(p.weight, np.float64), np.array(p.bias)) for p in (reader.up, reader.down))
    standard = (z - np.array(reader.mean, np.float64)) / np.array(reader.scale)
    scores = standard @ np.array(reader.linear.weight, np.float64).T
    scores += np.maximum(standard @ w1.T + b1, 0) @ w2.T + b2
    rows = np.exp(scores * np.repeat([0.5, 1, 2], [2, 4, 3]) + np.array(reader.offset))
    parts = [part / part.sum(axis=1, keepdims=True) for part in np.split(rows, [2, 6], axis=1)]
    return reader, z, [parts[0], 0 * parts[1], parts[2]]


def test_posteriors_are_those_of_a_map_beside_one_hidden_layer_and_nothing_where_no_word_is_labelled():
    reader, z, parts = made()
    for got, want in zip(reader.posteriors(mx.array(z)), parts, strict=True):
        close(got, want, "sum_order")


def test_balanced_odds_are_those_of_values_as_frequent_as_each_other():
    reader, z, parts = made()
    for a, prior in ((0, [0.9, 0.1]), (2, [0.2, 0.5, 0.3])):
        want = parts[a] / prior
        close(reader.balanced(mx.array(z))[a], want / want.sum(axis=1, keepdims=True), "sum_order")


def test_a_value_is_told_where_it_is_likelier_than_not():
    reader, z, parts = made()
    want = [np.where(part.max(axis=1) > 0.5, part.argmax(axis=1), part.shape[1]) for part in parts]
    assert len(np.unique(want[2])) > 2
    assert np.array(reader(mx.array(z))).T.tolist() == [row.tolist() for row in want]
    assert reader(mx.array(z[:0])).shape == (0, 3)
    guesses, probability = likeliest(reader.posteriors(mx.array(z)))
    assert guesses.T.tolist() == [parts[0].argmax(axis=1).tolist(), [-1] * 40, parts[2].argmax(axis=1).tolist()]
    close(probability, np.stack([part.max(axis=1) for part in parts], axis=1), "sum_order")


def words(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, 8) and labels (n, 1) of two values, one four times as frequent, that overlap."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.2).astype(np.int64)
    z = rng.normal(size=(n, 8)).astype(np.float32)
    z[:, 0] += 1.5 * labels
    return z, labels[:, None]


def test_calibrated_probabilities_are_the_shares_that_come_true():
    reader = Reader(8, (2,))
    mx.random.seed(0)
    z, labels = words(4000, 0)
    reader.fit(z, labels, 0, lambda n: None, fuse=False)
    reader.calibrate(*words(4000, 1))
    z, labels = words(8000, 2)
    part = np.array(reader.posteriors(mx.array(z))[0])
    rows = reliability(part.max(axis=1), part.argmax(axis=1) == labels[:, 0])
    assert expected_calibration_error(rows) < 0.02
    # As good as a logistic regression that saw the same words.
    seen, values = words(4000, 0)
    other = LogisticRegression().fit(seen, values[:, 0])
    hot = np.eye(2)[labels[:, 0]]
    ours, theirs = (-(hot * rows).sum(axis=1).mean() for rows in (np.log(part), other.predict_log_proba(z)))
    assert ours < theirs + 0.01


def test_calibration_is_the_scale_and_the_offsets_with_the_least_surprise():
    reader, _, _ = made()
    z = np.random.default_rng(1).normal(size=(400, 5)).astype(np.float32)
    labels = np.stack([np.arange(400) % 2, np.full(400, -1), np.arange(400) % 3], axis=1)
    before = np.array(reader.sharpness), np.array(reader.offset)
    reader.calibrate(z, labels)
    assert np.array(reader.offset)[2:6].tolist() == before[1][2:6].tolist()

    def surprise(a: int, scale: float, offset: np.ndarray) -> float:
        logits = np.array(reader.logits(mx.array(z))[a], np.float64)
        told = log_softmax(scale * logits + offset, axis=1)
        return float(-told[np.arange(400), labels[:, a]].mean())

    for a, part in ((0, slice(0, 2)), (2, slice(6, 9))):
        scale, offset = float(reader.sharpness[a]), np.array(reader.offset, np.float64)[part]
        least = surprise(a, scale, offset)
        for step in (-0.05, 0.05):
            assert surprise(a, scale * np.exp(step), offset) >= least - 1e-6
            for v in range(len(offset)):
                assert surprise(a, scale, offset + step * np.eye(len(offset))[v]) > least


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("known", [ENOUGH - 1, ENOUGH])
def test_few_words_calibrate_nothing(known, views):
    reader, _, _ = made()
    before = float(reader.sharpness[0])
    labels = np.full((80, 3), -1)
    labels[:known, 0] = np.arange(known) % 2
    z = np.random.default_rng(0).normal(size=(80 * views, 5)).astype(np.float32)
    reader.calibrate(z, np.concatenate([labels] * views), views)
    assert (float(reader.sharpness[0]) == before) == (known < ENOUGH)


def test_nothing_in_it_learns_with_others():
    reader, *_ = made()
    assert not tree_flatten(reader.trainable_parameters())


def test_the_prior_counts_labelled_words_alone():
    labels = np.array([[1, -1, 2], [1, -1, -1], [-1, -1, 1], [0, -1, 1], [-1, -1, -1], [1, -1, 2]])
    reader = Reader(5, (2, 4, 3))
    z = np.arange(30, dtype=np.float32).reshape(6, 5)
    reader.fit(z, labels, 0, lambda n: None, fuse=False)
    close(reader.prior, [1 / 4, 3 / 4, 0, 0, 0, 0, 0, 1 / 2, 1 / 2], "sum_order")
    labelled = z[[0, 1, 2, 3, 5]]
    close(reader.mean, labelled.mean(axis=0), "sum_order")
    close(reader.scale, labelled.std(axis=0), "sum_order")


def test_rare_values_count_as_much_more_as_is_asked():
    """By the bias alone, inputs being equal: the odds that a weighted training leaves are those of counts × weights."""
    labels = np.repeat([0, 1], [960, 64])[:, None]
    z = np.zeros((1024, 3), np.float32)
    for balance in (0.0, 0.5, 1.0):
        reader = Reader(
            3, (2,), ReaderConfig(balance=balance, epochs=400, batch=1024, learning_rate=0.05, weight_decay=0)
        )
        reader.fit(z, labels, 0, lambda n: None, fuse=False)
        logits = np.array(reader.logits(mx.zeros((1, 3)))[0])[0]
        close(logits[0] - logits[1], (1 - balance) * np.log(15), "sum_order")
        # Before it is calibrated the probabilities are those of the training words.
        close(reader.posteriors(mx.zeros((1, 3)))[0], [[15 / 16, 1 / 16]], "sum_order")
