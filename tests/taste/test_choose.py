"""A day's words: none of a family twice, none too like another, now and then something new, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.taste.people import CONFIG, features, pool, said
from wotd_mlx.taste.choose import STRATEGIES, by_mean, by_nearness, by_taste, choose
from wotd_mlx.taste.posterior import Posterior

LOOSE = replace(CONFIG, apart=1.0, new=1000)


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_family_comes_twice(strategy):
    families = (np.arange(60) // 3).astype(np.int32)
    given: list[int] = []
    had = said([0, 30], [1.0, 0.0])
    for day in range(9):
        given += choose(pool(features(), families), had, given, [], 2, draws(day), STRATEGIES[strategy])
    assert len(given) == 18
    taken = families[given].tolist()
    assert len(set(taken)) == 18
    assert not {0, 10} & set(taken)
    # 20 families, 18 given and 2 voted on: nothing is left.
    assert choose(pool(features(), families), had, given, [], 2, draws(), STRATEGIES[strategy]) == []


def test_the_best_mean_comes_first():
    found, had = features(config=LOOSE), said([3, 8, 20], [1.0, 0.0, 1.0])
    mean = Posterior(found, had.rows, had.votes, had.noise).mean()
    mean[[3, 8, 20]] = -np.inf
    want = np.argsort(-mean)[:4].tolist()
    assert choose(pool(found), had, [], [], 4, draws(), by_mean) == want
    worth = np.ones(60, np.float32)
    worth[want[0]] = 0.01
    assert choose(replace(pool(found), worth=worth), had, [], [], 3, draws(), by_mean) == want[1:]


def test_nearness_is_to_the_mean_of_what_was_liked():
    found, had = features(config=LOOSE), said([3, 8, 20], [1.0, 0.0, 1.0])
    near = found.unit @ (found.unit[3] + found.unit[20])
    near[[3, 8, 20]] = -np.inf
    assert choose(pool(found), had, [], [], 3, draws(), by_nearness) == np.argsort(-near)[:3].tolist()


def test_no_two_of_a_day_or_of_two_days_are_too_alike():
    found = features(300, config=replace(CONFIG, new=1000))
    last: list[int] = []
    given: list[int] = []
    for day in range(20):
        chosen = choose(pool(found), said([0], [1.0]), given, last, 3, draws(day))
        near = found.unit[chosen] @ found.unit[[*last, *chosen]].T
        near[np.arange(3), len(last) + np.arange(3)] = -1
        assert near.max() < CONFIG.apart
        given, last = given + chosen, chosen


def test_of_seven_words_one_is_outside_what_was_liked():
    found, had = features(300), said([0, 1, 2], [1.0, 1.0, 1.0])
    chosen = choose(pool(found), had, [], [], 21, draws(), by_nearness)
    near = (found.unit[chosen] @ found.unit[:3].T).max(axis=1)
    assert near[:6].min() > CONFIG.outside
    assert all(near[start : start + 7].min() <= CONFIG.outside for start in range(15))


def test_a_word_that_is_outside_by_itself_counts_as_new():
    found, had = features(300), said([0, 1, 2], [1.0, 1.0, 1.0])
    near = (found.unit @ found.unit[:3].T).max(axis=1)
    inside, outside = (np.flatnonzero(mask)[3:].tolist() for mask in (near > CONFIG.outside, near <= CONFIG.outside))

    def next_is_new(given):
        (row,) = choose(pool(found), had, given, [], 1, draws(), by_nearness)
        return near[row] <= CONFIG.outside

    assert next_is_new(inside[:6])
    assert not next_is_new(inside[:5])
    assert not next_is_new([*inside[:3], outside[0], *inside[3:8]])
    assert next_is_new([outside[0], *inside[:6]])
    # That it was liked since doesn't make it a part of what had been liked.
    liked = said([0, 1, 2, outside[0]], [1.0] * 4)
    assert choose(pool(found), liked, [outside[0], *inside[:5]], [], 1, draws(), by_nearness)[0] not in outside


def test_what_is_outside_is_the_likeliest_there():
    found, had = features(300, config=replace(CONFIG, new=1)), said([0, 1, 9], [1.0, 1.0, 0.0])
    mean = Posterior(found, had.rows, had.votes, had.noise).mean()
    outside = (found.unit @ found.unit[[0, 1]].T).max(axis=1) <= CONFIG.outside
    mean[~outside] = -np.inf
    mean[[0, 1, 9]] = -np.inf
    assert choose(pool(found), had, [], [], 1, draws(), by_mean) == [int(mean.argmax())]


def test_the_same_draws_give_the_same_words():
    found, had = features(300), said([0, 5, 9], [1.0, 0.0, 1.0])
    first = choose(pool(found), had, [], [], 3, draws(4))
    assert choose(pool(found), had, [], [], 3, draws(4)) == first
    others = [choose(pool(found), had, [], [], 3, draws(seed)) for seed in range(5, 15)]
    assert any(other != first for other in others)


def test_exploration_ends():
    """With many votes samples agree: the taste's choices are those of its mean, as they are not after three."""
    found = features(120, config=LOOSE)
    liked = (found.unit @ found.unit[0] > 0.2).astype(float)
    agree = []
    for count in (3, 100):
        had = said(list(range(count)), liked[:count].tolist(), 0.01)
        best = choose(pool(found), had, [], [], 5, draws(), by_mean)
        found_often = [choose(pool(found), had, [], [], 5, draws(seed), by_taste) for seed in range(10)]
        agree.append(np.mean([len(set(best) & set(other)) for other in found_often]))
    assert agree[1] > agree[0] + 1


def test_where_all_are_too_alike_the_rule_gives_way():
    found = features(config=replace(CONFIG, apart=0.0, new=1000))
    assert len(choose(pool(found), said([0], [1.0]), [], [], 10, draws())) == 10
