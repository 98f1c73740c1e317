"""Windows cover each position once, and a batch holds what its rows say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings
from tests.tolerances import close
from wotd_mlx.lvm.training.windows import batches, cut

DATA = articles(9, 3, 12, 2, 14)
X = embeddings(len(DATA), dims=6)
CHOSEN = np.array([0, 2, 4, 3])


def test_windows_in_order_begin_with_the_article_and_are_full_but_the_last():
    assert cut(DATA, CHOSEN, 5, None) == [
        (0, 5), (5, 8), (12, 17), (17, 22), (22, 23), (26, 31), (31, 36), (36, 39), (24, 25)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_windows_at_random_cover_each_position_once(seed):
    windows = cut(DATA, CHOSEN, 5, np.random.default_rng(seed))
    covered = [row for a, b in windows for row in range(a, b)]
    # The last sentence of an article has no next.
    assert sorted(covered) == [*range(8), *range(12, 23), 24, *range(26, 39)]
    assert max(b - a for a, b in windows) == 5
    # An article's windows are neighbours, in order.
    order = [int(DATA.article[a]) for a, _ in windows]
    assert len([1 for a, b in pairwise(order) if a != b]) == 3
    assert windows != cut(DATA, CHOSEN, 5, np.random.default_rng(seed + 100))


def read(**more):
    return list(batches(DATA, X, CHOSEN, context=5, batch=4, **more))


@pytest.mark.parametrize("negatives", [0, 8])
@pytest.mark.parametrize("seed", [None, 3])
def test_a_batch_is_what_its_rows_say(negatives, seed):
    found = read(negatives=negatives, rng=None if seed is None else np.random.default_rng(seed))
    covered = []
    for batch in found:
        mask, rows, context = (np.array(a) for a in (batch.mask, batch.rows, batch.context))
        assert mask.shape == rows.shape == context.shape == (4, 5)
        close(batch.target, X[rows], "exact")
        close(batch.x, X[rows - 1], "exact")
        # Real positions first, and each row's window goes on from the one before.
        assert all((np.diff(line) <= 0).all() for line in mask)
        for line, real in zip(rows, mask.sum(axis=1).astype(int), strict=True):
            assert (np.diff(line[:real]) == 1).all()
            covered += line[:real].tolist()
        position = rows - DATA.starts[DATA.article[rows]]
        close(context, np.minimum(5, position), "ids")
        candidates = np.array(batch.candidate_rows)
        close(batch.candidates, X[candidates], "exact")
        assert len(candidates) == (4 * 5 + negatives if negatives else 0)
        if negatives:
            own = np.unique([rows - 1, rows])
            close(candidates[: len(own)], own, "ids")
            assert set(DATA.article[candidates]) <= {*CHOSEN}
        before = rows[..., None] - candidates
        close(batch.allowed(), ~((before >= 0) & (before <= context[..., None])), "ids")
    assert sorted(covered) == [row + 1 for row in [*range(8), *range(12, 23), 24, *range(26, 39)]]


def test_windows_of_an_article_stay_together_where_they_are_candidates():
    """With negatives, in the order of :func:`cut`; without, shuffled one by one."""

    def order(negatives):
        rng = np.random.default_rng(0)
        return [int(row) - 1 for batch in read(negatives=negatives, rng=rng) for row in np.array(batch.rows)[:, 0]][:9]

    first = [a for a, _ in cut(DATA, CHOSEN, 5, np.random.default_rng(0))][:9]
    assert order(8) == first
    assert order(0) != first
    assert sorted(order(0)[: len(first)]) == sorted(first)


@pytest.mark.parametrize("negatives", [0, 8])
def test_going_on_leaves_the_first_batches_out(negatives):
    whole, rest = (read(negatives=negatives, rng=np.random.default_rng(2), start=start) for start in (0, 2))
    assert len(rest) == len(whole) - 2
    for got, want in zip(rest, whole[2:], strict=True):
        for a, b in zip(got, want, strict=True):
            close(a, b, "exact")
