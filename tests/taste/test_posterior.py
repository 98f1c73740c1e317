"""The taste against scikit-learn's Gaussian process, numerical integrals, and what few votes may say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Kernel

from tests.taste.people import CONFIG, features, said
from tests.tolerances import close
from wotd_mlx.taste.features import Features
from wotd_mlx.taste.posterior import Posterior, mixtures
from wotd_mlx.taste.rarity import Known

ROWS, VOTES = [3, 8, 20, 31, 44, 7], [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]


def posterior(found: Features, noise: float = 0.09) -> Posterior:
    had = said(ROWS, VOTES, noise)
    return Posterior(found, had.rows, had.votes, had.noise)


def test_kernels_are_their_formulas():
    rng = np.random.default_rng(1)
    vectors, labels = rng.normal(size=(30, 8)).astype(np.float32), rng.random((30, 4)).astype(np.float32)
    zipf, glosses = rng.uniform(1, 5, 30), rng.normal(size=(30, 8)).astype(np.float32)
    codes = (rng.integers(0, 8, (30, 2)) + 0.5).astype(np.float32) / 8
    features = Features.of(vectors, glosses, labels, zipf, codes, CONFIG)
    found = features.alike(np.array([4, 9]), np.array([0, 1, 4]))
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cos = unit[[0, 1, 4]] @ unit[[4, 9]].T
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    axes = left[:, :3] * np.sqrt(30)
    values = labels - labels.mean(axis=0)
    values = values / np.sqrt((values**2).sum(axis=1).mean())
    close(found["meaning"], cos, "sum_order")
    for width in CONFIG.near:
        close(found[f"within {width:g}"], np.exp((cos - 1) / width), "sum_order")
    senses = glosses.astype(np.float64) - glosses.mean(axis=0)
    senses /= np.linalg.norm(senses, axis=1, keepdims=True)
    close(found["gloss"], senses[[0, 1, 4]] @ senses[[4, 9]].T, "sum_order")
    close(found["gloss within 0.4"], np.exp((senses[[0, 1, 4]] @ senses[[4, 9]].T - 1) / 0.4), "sum_order")
    close(found["tone"], axes[[0, 1, 4]] @ axes[[4, 9]].T / 3, "eigenvectors")
    close(found["labels"], values[[0, 1, 4]] @ values[[4, 9]].T, "sum_order")
    close(found["rarity"], np.exp(-2 * (zipf[[0, 1, 4]][:, None] - zipf[[4, 9]]) ** 2), "sum_order")
    steps = np.abs(codes[[0, 1, 4]][:, None] - codes[[4, 9]]) * 8
    by_codes = replace(features, by_codes=True).alike(np.array([4, 9]), np.array([0, 1, 4]))
    assert list(by_codes) == ["number 1", "number 2"]
    close(np.stack(list(by_codes.values()), axis=-1), np.exp(-steps), "sum_order")


@pytest.mark.parametrize(
    ("weights", "theirs", "of"),
    [
        ({"rarity": 0.2}, ConstantKernel(0.2, "fixed") * RBF(CONFIG.rarity, "fixed"), "rarity"),
        ({"meaning": 0.2}, ConstantKernel(0.2, "fixed") * DotProduct(0, "fixed"), "unit"),
        ({"gloss": 0.2}, ConstantKernel(0.2, "fixed") * DotProduct(0, "fixed"), "glosses"),
        ({"labels": 0.2}, ConstantKernel(0.2, "fixed") * DotProduct(0, "fixed"), "labels"),
    ],
)
def test_one_kernel_agrees_with_scikit_learn(monkeypatch, weights: dict[str, float], theirs: Kernel, of: str):
    found = features()
    monkeypatch.setattr("wotd_mlx.taste.posterior.mixtures", lambda kernels, variance: [weights])
    mine = posterior(found)
    x = np.asarray(getattr(found, of), np.float64).reshape(len(found), -1)
    peer = GaussianProcessRegressor(theirs, alpha=0.09, optimizer=None)
    peer.fit(x[ROWS], np.array(VOTES) - CONFIG.likes)
    mean, deviation = peer.predict(x, return_std=True)
    close(mine.mean(), mean + CONFIG.likes, "sum_order")
    constant = len(ROWS) / 2 * np.log(2 * np.pi)
    close(mine._fits[0].evidence - constant, peer.log_marginal_likelihood_value_, "sum_order")
    some = np.array([0, 1, 2, 20])
    drawn = np.array([mine.draw(some, np.random.default_rng(seed)) for seed in range(4000)])
    standard = deviation[some] / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - mean[some] - CONFIG.likes) <= 5 * standard + 1e-9).all()
    assert np.allclose(drawn.std(axis=0), deviation[some], rtol=0.06, atol=1e-5)


def test_mixtures_share_by_evidence():
    mine = posterior(features())
    evidence = np.array([fit.evidence for fit in mine._fits])
    close(mine.shares, np.exp(evidence) / np.exp(evidence).sum(), "sum_order")
    names = list(mixtures(("a", "b", "c"), 0.3))
    assert names == [
        *({"a": 0.3}, {"b": 0.3}, {"c": 0.3}),
        *({"a": 0.15, "b": 0.15}, {"a": 0.15, "c": 0.15}, {"b": 0.15, "c": 0.15}),
        {"a": 0.3 / 3, "b": 0.3 / 3, "c": 0.3 / 3},
    ]
    rests = mine.rests_on
    assert sum(rests.values()) == pytest.approx(1)
    halves = [
        share / 2
        for share, fit in zip(mine.shares, mine._fits, strict=True)
        if len(fit.weights) == 2 and "tone" in fit.weights
    ]
    alone = [share for share, fit in zip(mine.shares, mine._fits, strict=True) if list(fit.weights) == ["tone"]]
    assert rests["tone"] == pytest.approx(sum(halves) + sum(alone) + mine.shares[-1] / len(rests))


def test_no_vote_leaves_the_prior():
    found = features()
    none = Posterior(found, np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    close(none.mean(), np.full(len(found), np.float32(CONFIG.likes)), "exact")
    close(none.shares, np.full(len(none.shares), 1 / len(none.shares)), "sum_order")


def test_a_taste_for_rarity_is_told_from_one_for_meaning():
    rng, found = np.random.default_rng(3), features(200)
    rows = rng.choice(200, 40, replace=False)
    rare = (found.rarity[rows] < 2.5).astype(np.float32)
    assert (
        max((by := Posterior(found, rows, rare, np.full(40, 0.09, np.float32)).rests_on), key=lambda k: by[k])
        == "rarity"
    )
    near = (found.unit[rows] @ found.unit[rows[0]] > 0.3).astype(np.float32)
    by = Posterior(found, rows, near, np.full(40, 0.09, np.float32)).rests_on
    assert by["rarity"] < 0.2


def test_surer_votes_move_the_mean_further():
    found = features()
    means = [posterior(found, noise).mean()[ROWS] for noise in (0.01, 0.09, 1.0)]
    errors = [np.abs(mean - VOTES).mean() for mean in means]
    assert errors == sorted(errors)


def test_known_words_against_an_integral():
    zipf, known, others = np.array([2.0, 4.0, 5.5], np.float32), [3.0, 3.4], [2.2]

    def odds(t: float) -> float:
        density = stats.norm(4.5, 0.5).pdf(t)
        for z in known:
            density *= 1 / (1 + np.exp(-3 * (z - t)))
        for z in others:
            density *= (1 / (1 + np.exp(-3 * (t - z)))) ** 0.25
        return float(density)

    total = integrate.quad(odds, 0, 8)[0]
    want = [integrate.quad(lambda t, z=z: odds(t) / (1 + np.exp(-3 * (z - t))), 0, 8)[0] / total for z in zipf]
    found = Known(known, others)
    close(found(zipf), want, "integral")
    close(found.above, integrate.quad(lambda t: t * odds(t), 0, 8)[0] / total, "integral")
    assert found.above < Known().above
