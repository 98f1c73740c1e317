"""How entries are laid out on the grid of IDs: shares, order, room, and cells without an entry."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wotd_mlx.codes.grid import allocate, cut, lay_out, nearest_filled


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8).filter(any), st.integers(8, 64))
def test_codes_are_dealt_out_whole_and_every_value_that_occurs_gets_one(counts, codes):
    dealt = allocate(np.array(counts), codes)
    assert dealt.sum() == codes
    assert ((dealt > 0) >= (np.array(counts) > 0)).all()
    # In proportion, but for rounding and for the one code that each is sure of.
    share = np.array(counts) / sum(counts) * codes
    assert (np.abs(dealt - share) <= len(counts)).all()


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=50)
def test_cutting_keeps_the_order_and_makes_equal_parts(n, codes, seed):
    rng = np.random.default_rng(seed)
    group, score = rng.integers(0, 3, n), rng.normal(size=n)
    got = cut(group, score, np.full(n, codes))
    for g in range(3):
        inside = got[group == g][np.argsort(score[group == g])]
        assert (np.diff(inside) >= 0).all()
        sizes = np.bincount(inside, minlength=codes)
        assert np.ptp(sizes) <= 1


@pytest.mark.parametrize("levels", [(8, 8, 8, 5), (6, 4, 3), (16, 2), (7,)])
def test_no_cell_holds_more_entries_than_its_last_number_can_tell_apart(levels):
    rng = np.random.default_rng(0)
    sizes = [3, 2][: len(levels) - 1]
    shares = [allocate(np.arange(1, v + 1) * 10, k) for v, k in zip(sizes, levels, strict=False)]
    kinds = np.array(list(product(*map(range, sizes))), int)
    # As many of each kind as its values own IDs.
    owned = [int(np.prod([share[v] for share, v in zip(shares, kind, strict=True)])) for kind in kinds]
    values = np.repeat(kinds, np.array(owned) * int(np.prod(levels[len(sizes) :])), axis=0)
    grid = lay_out(levels, values, rng.normal(size=(len(values), len(levels) - 1)), shares)
    assert grid.shape == (len(values), len(levels) - 1)
    assert (grid >= 0).all()
    assert (grid < levels[:-1]).all()
    assert np.unique(grid, axis=0, return_counts=True)[1].max() <= levels[-1]
    for a, share in enumerate(shares):
        first = np.cumsum(share) - share
        assert (grid[:, a] >= first[values[:, a]]).all()
        assert (grid[:, a] < (first + share)[values[:, a]]).all()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=50)
def test_an_empty_cell_takes_after_one_of_its_nearest_filled_ones(levels, seed):
    rng = np.random.default_rng(seed)
    filled = np.where(rng.random(int(np.prod(levels))) < 0.4, np.arange(np.prod(levels)), -1)
    filled[rng.integers(len(filled))] = 0
    home = nearest_filled(filled, levels)
    positions = np.stack(np.unravel_index(np.arange(len(filled)), levels), axis=1)
    there = np.flatnonzero(filled >= 0)
    for cell in range(len(filled)):
        distances = np.abs(positions[there] - positions[cell]).sum(axis=1)
        assert home[cell] in filled[there[distances == distances.min()]]
