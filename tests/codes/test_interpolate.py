"""Ways on the sphere: Shoemake's formula, and the longest way that never turns back by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.codes.interpolate import monotone, slerp

X = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)


def test_a_way_is_the_one_of_the_sines():
    a, b = (v / np.linalg.norm(v) for v in X.astype(np.float64))
    angle = np.arccos(a @ b)
    alphas = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    want = [(np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle) for t in alphas]
    close(slerp(3 * X[0], 0.1 * X[1], alphas), want, "sum_order")


def test_a_vector_is_no_way_from_itself_though_rounding_makes_its_square_more_than_one():
    rng, above = np.random.default_rng(0), 0
    for v in rng.normal(size=(60, 5)).astype(np.float32):
        unit = v.astype(np.float64) / np.linalg.norm(v.astype(np.float64))
        above += unit @ unit > 1
        close(slerp(v, v, np.array([0.0, 0.5, 1.0])), np.tile(unit, (3, 1)), "sum_order")
    assert above > 0


def test_opposite_ends_are_joined_through_a_right_angle():
    path = slerp(X[0], -X[0], np.array([0.0, 0.5, 1.0]))
    close(path[1] @ path[0], 0.0, "sum_order")
    close(path[2], -path[0], "sum_order")


@pytest.mark.parametrize("b", [X[0], -X[0]])
def test_slerp_of_equal_and_of_opposite_ends_stays_on_the_sphere(b):
    path = slerp(X[0], b, np.linspace(0, 1, 5))
    close(np.linalg.norm(path, axis=1), np.ones(5), "sum_order")
    close(path[-1], b / np.linalg.norm(b), "sum_order")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=0, max_size=8))
@settings(max_examples=60)
def test_a_monotone_way_keeps_its_ends_and_as_many_positions_as_can_be(middle):
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
