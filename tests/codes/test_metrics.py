"""Each figure against its definition, and against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.tolerances import close
from wotd_mlx.codes import metrics
from wotd_mlx.codes.probe import linear_probe
from wotd_mlx.config.codes import ProbeConfig

X = np.random.default_rng(0).normal(size=(120, 12)).astype(np.float32)


def test_perfect_and_useless_codes():
    mean = X.mean(axis=0)
    assert metrics.relative_mse(X, X, mean) == 0
    close(metrics.relative_mse(X, np.tile(mean, (120, 1)), mean), 1.0, "sum_order")
    close(metrics.cosine(X, 3 * X), 1.0, "sum_order")
    close(metrics.pairwise_spearman(X, 2 * X), 1.0, "sum_order")
    assert metrics.recall_at(X, 2 * X) == 1
    assert metrics.recall_at(X, X[::-1]) < 0.3


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=40), st.integers(0, 99))
@settings(max_examples=50)
def test_spearman_with_ties_is_that_of_mean_ranks(values, seed):
    a = np.array(values)
    b = np.random.default_rng(seed).permutation(a)
    if len(set(values)) == 1:
        assert np.isnan(metrics.spearman(a, b))
        return
    ranks = [[(v < x).sum() + ((v == x).sum() - 1) / 2 for x in v] for v in (a, b)]
    close(metrics.spearman(a, b), np.corrcoef(*ranks)[0, 1], "sum_order")


def test_recall_counts_neighbours_that_stay():
    noisy = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (X, noisy)]
    cosines = [u @ u.T - 9 * np.eye(len(u)) for u in unit]
    nearest = [np.argsort(-c, axis=1)[:, :10] for c in cosines]
    want = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*nearest, strict=True)])
    close(metrics.recall_at(X, noisy), want, "sum_order")


def test_recall_of_identical_decoded_vectors_counts_no_word_as_its_own_neighbour():
    assert 0 <= metrics.recall_at(X, np.ones_like(X)) < 0.3


def test_usage_perplexity_and_collisions():
    ids = np.array([[0, 0], [1, 0], [2, 0], [3, 0]])
    usage, perplexity = metrics.usage_and_perplexity(ids, (4, 8))
    assert usage == [1.0, 0.125]
    close(perplexity, [4.0, 1.0], "sum_order")
    assert metrics.collision_rate(ids) == 0
    assert metrics.collision_rate(np.array([[1, 1], [1, 1], [2, 2]])) == pytest.approx(2 / 3)


def test_balanced_accuracy_is_the_mean_over_values():
    labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    assert metrics.balanced_accuracy(predicted, labels) == 0.5
    assert np.isnan(metrics.balanced_accuracy(predicted[:0], labels[:0]))


def test_a_prediction_counts_where_it_is_the_label_neither_below_nor_above_it():
    labels, predicted = np.array([1, 1, 1, 3, 3]), np.array([0, 1, 3, 3, 1])
    close(metrics.balanced_accuracy(predicted, labels), (1 / 3 + 1 / 2) / 2, "sum_order")


def test_linear_probe_finds_what_is_linear():
    labels = (X[:, 3] > 0).astype(np.int64)
    probe = linear_probe(X, labels, np.ones(120, np.float32), 2, ProbeConfig(prior=100))
    import mlx.core as mx

    assert (np.array(probe(mx.array(X))).argmax(axis=1) == labels).mean() > 0.97


def test_pairs_of_words_are_drawn_and_their_cosines_ranked(monkeypatch):
    monkeypatch.setattr(metrics, "_PAIRS", 20_000)
    noisy = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    left, right = np.random.default_rng(3).integers(0, 120, (2, 20_000))
    apart = left != right
    cosines = []
    for vectors in (X, noisy):
        rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append((rows[left[apart]] * rows[right[apart]]).sum(axis=1))
    close(metrics.pairwise_spearman(X, noisy, seed=3), stats.spearmanr(*cosines).statistic, "sum_order")


def test_the_mean_cosine_is_over_words():
    noisy = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    want = np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(X, noisy, strict=True)])
    close(metrics.cosine(X, noisy), want, "sum_order")
    close(metrics.cosine(X, np.zeros_like(X)), 0.0, "exact")
    close(metrics.relative_mse(X, noisy, X[0]), ((X - noisy) ** 2).sum() / ((X - X[0]) ** 2).sum(), "sum_order")


def test_figures_of_too_few_words_are_undefined():
    assert np.isnan(metrics.spearman(np.array([1.0]), np.array([2.0])))
    close(metrics.spearman(np.array([1.0, 2.0]), np.array([2.0, 1.0])), -1.0, "sum_order")
    assert np.isnan(metrics.recall_at(X[:1], X[:1]))
    assert metrics.recall_at(X[:2], X[1::-1]) == 1
    assert metrics.recall_at(X[:5], X[:5], k=10) == 1


def test_usage_counts_codes_and_perplexity_their_entropy():
    ids = np.array([[0], [0], [0], [2]])
    usage, perplexity = metrics.usage_and_perplexity(ids, (5,))
    close(usage, [2 / 5], "exact")
    close(perplexity, [np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))], "sum_order")
    assert metrics.usage_and_perplexity(ids[:0], (5,)) == ([0.0], [1.0])


def test_unit_vectors_and_zeros():
    close(metrics.unit(np.array([[3, 4], [0, 0]])), [[0.6, 0.8], [0, 0]], "sum_order")


def test_bins_and_calibration_error_are_what_a_loop_over_the_words_finds():
    rng = np.random.default_rng(3)
    sure = np.concatenate([rng.uniform(0.25, 1, 200), [0.3, 0.5, 1.0]])
    right = rng.random(203) < sure**2
    rows = metrics.reliability(sure, right)
    assert sum(row.words for row in rows) == 203
    error = 0.0
    for b in range(10):
        inside = [n for n in range(203) if (b / 10 <= sure[n] < (b + 1) / 10) or (b == 9 and sure[n] == 1)]
        if inside:
            row = rows.pop(0)
            assert row.words == len(inside)
            close(row.probability, np.mean(sure[inside]), "sum_order")
            close(row.right, np.mean(right[inside]), "sum_order")
            error += len(inside) / 203 * abs(np.mean(sure[inside]) - np.mean(right[inside]))
    assert not rows
    close(metrics.expected_calibration_error(metrics.reliability(sure, right)), error, "sum_order")
    assert np.isnan(metrics.expected_calibration_error([]))


def test_own_first_counts_words_that_are_nearest_to_what_stands_for_them():
    x = metrics.unit(X)
    decoded = 3 * x
    decoded[:30] = x[1:31]  # the next word's
    close(metrics.own_first(x, decoded, np.arange(120)), 90 / 120, "exact")
    close(metrics.own_first(x, decoded[20:40], np.arange(20, 40)), 10 / 20, "exact")
    # Two words of one vector are one to whoever has vectors alone.
    x[1] = x[0]
    close(metrics.own_first(x, x, np.arange(120)), 1.0, "exact")
