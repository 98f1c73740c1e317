"""What a text looks like: numbers of its word pieces, counted by hand."""

from __future__ import annotations

from math import log

import mlx.core as mx
import numpy as np

from tests.tolerances import close
from wotd_mlx.embed.form import form_of, form_width, numbers_of, piece_numbers


def by_hand(ids: list[int]) -> list[float]:
    ranks = [log(1 + i) for i in ids[1:-1]]
    if not ranks:
        return [0.0] * 5
    return [log(1 + len(ranks)), ranks[0], sum(ranks) / len(ranks), max(ranks), min(ranks)]


def test_the_numbers_are_those_of_the_pieces_between_the_marks():
    texts = [[101, 102], [101, 7, 102], [101, 2000, 30, 29999, 102], [101, *range(500, 1500, 7), 102]]
    close(numbers_of(texts), [by_hand(ids) for ids in texts], "sum_order")
    assert numbers_of([]).shape == (0, 5)


def test_many_texts_keep_their_order():
    rng = np.random.default_rng(0)
    texts = [[101, *rng.integers(1, 30000, rng.integers(0, 9)).tolist(), 102] for _ in range(5000)]
    got = numbers_of(texts)
    close(got, [by_hand(ids) for ids in texts], "sum_order")


def test_padding_counts_for_nothing():
    ids, mask = np.zeros((1, 16), np.uint32), np.zeros((1, 16), np.int32)
    ids[0, :4], mask[0, :4] = [101, 55, 4000, 102], 1
    ids[0, 9] = 12345
    close(piece_numbers(mx.array(ids), mx.array(mask))[0], by_hand([101, 55, 4000, 102]), "sum_order")


def test_a_form_is_the_embedding_and_the_numbers():
    x, numbers = np.ones((2, 7), np.float32), numbers_of([[1, 5, 2], [1, 9, 9, 2]])
    form = np.array(form_of(mx.array(x), mx.array(numbers)))
    assert form.shape == (2, form_width(7))
    assert np.array_equal(form[:, :7], x)
    assert np.array_equal(form[:, 7:], numbers)
