"""IDs of their own, against the greedy matching written out as loops."""

from __future__ import annotations

import itertools

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import normal
from tests.tolerances import close
from wotd_mlx.codes import unique
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.unique import make_unique
from wotd_mlx.config import CodesConfig


def made(levels: tuple[int, ...], words: int, kind: str = "fsq") -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    """A model with a random linear decoder, and vectors of which many share an ID."""
    model = Autoencoder(5, CodesConfig(kind, levels, latent=3, hidden=4), ())
    model.start(normal(200, 5), seed=0)
    x = np.repeat(normal(-(-words // 3), 5, seed=1), 3, axis=0)[:words] + 0.05 * normal(words, 5, seed=2)
    return model, x, np.array(model.encode(mx.array(x)))


def by_hand(model: Autoencoder, x: np.ndarray, ids: np.ndarray, budget: float) -> tuple[np.ndarray, float]:
    """The pair that adds least goes first, again and again."""
    levels = model.quantizer.levels
    every = list(itertools.product(*map(range, levels)))
    decoded = np.array(model.decode(mx.array(every, mx.int32)), np.float64)
    distance = np.sqrt(((x[:, None] - decoded) ** 2).sum(axis=2))
    own = [distance[n, every.index(tuple(number))] for n, number in enumerate(ids.tolist())]
    pairs = []
    for n, number in enumerate(ids.tolist()):
        near = [tuple(number)] + [
            (*number[:q], (number[q] + step) % k, *number[q + 1 :])
            for q, k in enumerate(levels)
            for step in range(1, k)
        ]
        pairs += [(max(distance[n, every.index(c)] - own[n], 0), n, m, c) for m, c in enumerate(near)]
    chosen, spent = dict[int, tuple[int, ...]](), 0.0
    for added, n, _, candidate in sorted(pairs, key=lambda pair: pair[:3]):
        if n not in chosen and candidate not in chosen.values() and spent + added <= budget * sum(own):
            chosen[n] = candidate
            spent += added
    out = np.array([chosen.get(n, tuple(number)) for n, number in enumerate(ids.tolist())])
    now = [distance[n, every.index(tuple(number))] for n, number in enumerate(out.tolist())]
    return out, sum(now) / sum(own) - 1


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.3, 10.0])
def test_the_pair_that_adds_least_goes_first_until_the_budget_is_spent(budget):
    model, x, ids = made((4, 3, 5), 24)
    found = make_unique(model, x, ids, budget)
    want, cost = by_hand(model, x, ids, budget)
    close(found.ids, want, "ids")
    close(found.cost, cost, "sum_order")
    for share, rows in ((found.before, ids), (found.after, found.ids)):
        close(share, np.mean([(rows == row).all(axis=1).sum() > 1 for row in rows]), "sum_order")
    assert found.before > 0.5
    assert found.cost <= budget + 1e-6


@pytest.mark.parametrize("at_once", [1, 500])
def test_words_taken_a_few_at_a_time_get_the_same_ids(at_once, monkeypatch):
    model, x, ids = made((4, 3, 5), 24)
    whole = make_unique(model, x, ids, 0.3)
    monkeypatch.setattr(unique, "_AT_ONCE", at_once)
    close(make_unique(model, x, ids, 0.3).ids, whole.ids, "ids")


def test_of_very_many_candidates_the_nearest_are_kept(monkeypatch):
    model, x, ids = made((4, 3, 5), 9)
    every, distances = unique._candidates(model, x, ids)
    assert every.shape == (9, 1 + 3 + 2 + 4, 3)
    monkeypatch.setattr(unique, "_KEPT", 4)
    kept, near = unique._candidates(model, x, ids)
    for n in range(9):
        chosen = [0, *sorted(1 + np.argsort(distances[n, 1:], kind="stable")[:3])]
        close(kept[n], every[n, chosen], "ids")
        close(near[n], distances[n, chosen], "exact")
    monkeypatch.setattr(unique, "_KEPT", 10)
    close(unique._candidates(model, x, ids)[0], every, "ids")


@pytest.mark.parametrize("kind", ["rvq", "hvq"])
def test_other_kinds_find_ids_of_their_own_too(kind):
    if kind == "hvq":
        from tests.codes.test_hvq import trained

        model, x, _ = trained((4, 6, 4, 8))
    else:
        model, x, _ = made((8, 8, 8), 40, kind)
    twice = np.concatenate([x[:40], x[:40]])
    ids = np.array(model.encode(mx.array(twice)))
    found = make_unique(model, twice, ids, budget=10.0)
    assert (found.before, found.after) == (1.0, 0.0)
    # Who keeps the first choice keeps it exactly.
    assert (found.ids == ids).all(axis=1).sum() >= len(np.unique(ids, axis=0))
