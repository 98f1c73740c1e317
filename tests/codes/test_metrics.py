"""Each figure against its definition, and against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.codes import metrics
from wotd_mlx.codes.interpolate import monotone, slerp
from wotd_mlx.codes.report import corpus_metrics
from wotd_mlx.schemas import Corpus, Word

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


def test_linear_probe_finds_what_is_linear():
    labels = (X[:, 3] > 0).astype(np.int64)
    probe = metrics.linear_probe(X, labels, np.ones(120, np.float32), 2, prior=100)
    import mlx.core as mx

    assert (np.array(probe(mx.array(X))).argmax(axis=1) == labels).mean() > 0.97


def test_similarity_within_and_distance_between_corpora():
    vectors = X / np.linalg.norm(X, axis=1, keepdims=True)
    words = tuple(Word(str(i), corpus="abc"[i % 3]) for i in range(30))
    found = corpus_metrics(Corpus("t", words), vectors[:30])
    cosines, same = vectors[:30] @ vectors[:30].T, np.equal.outer(np.arange(30) % 3, np.arange(30) % 3)
    within = cosines[same & ~np.eye(30, dtype=bool)].mean()
    close(found["similarity_within"], within, "sum_order")
    close(found["distance_between"], 1 - cosines[~same].mean(), "sum_order")
    assert (found["words"], found["corpora"], found["lexicon"]) == (30, 3, 0)


def test_slerp_ends_where_it_should_at_equal_angles():
    a, b = X[0] / np.linalg.norm(X[0]), X[1] / np.linalg.norm(X[1])
    path = slerp(a, b, np.linspace(0, 1, 9))
    close(path[[0, -1]], np.stack([a, b]), "sum_order")
    close(np.linalg.norm(path, axis=1), np.ones(9), "sum_order")
    close(np.diff(np.arccos(np.clip(path @ a, -1, 1))), np.full(8, np.arccos(a @ b) / 8), "angles")


@pytest.mark.parametrize("b", [X[0], -X[0]])
def test_slerp_of_equal_and_of_opposite_ends_stays_on_the_sphere(b):
    path = slerp(X[0], b, np.linspace(0, 1, 5))
    close(np.linalg.norm(path, axis=1), np.ones(5), "sum_order")
    close(path[-1], b / np.linalg.norm(b), "sum_order")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=0, max_size=8))
@settings(max_examples=60)
def test_a_monotone_way_keeps_its_ends_and_as_many_places_as_can_be(middle):
    import itertools

    toward = np.array([0, *(a for a, _ in middle), 9])
    away = np.array([9, *(b for _, b in middle), 0])
    kept = monotone(toward, away)
    assert kept[0] == 0
    assert kept[-1] == len(toward) - 1
    assert (np.diff(toward[kept]) >= 0).all()
    assert (np.diff(away[kept]) <= 0).all()
    inside = range(1, len(toward) - 1)
    most = max(
        len(chosen)
        for n in range(len(toward) - 1)
        for chosen in itertools.combinations(inside, n)
        if (np.diff(toward[[0, *chosen, len(toward) - 1]]) >= 0).all()
        and (np.diff(away[[0, *chosen, len(toward) - 1]]) <= 0).all()
    )
    assert len(kept) == most + 2


def test_a_way_whose_end_is_behind_its_start_is_refused():
    with pytest.raises(ValueError, match="behind the first"):
        monotone(np.array([1.0, 0.0]), np.array([0.0, 0.0]))
