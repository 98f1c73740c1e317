"""Dropout that can draw the same numbers twice, and never the same for two layers."""

from __future__ import annotations

import mlx.core as mx

from tests.tolerances import close
from wotd_mlx.dropout import Dropout, drawn_from


def test_each_layer_draws_from_its_own_part_of_the_key():
    dropout, x, key = Dropout(0.2), mx.random.normal((40, 30)), mx.random.key(5)
    with drawn_from(key):
        got = [dropout(x), dropout(x)]
    with drawn_from(key):
        again = [dropout(x), dropout(x)]
    for n, (one, other) in enumerate(zip(got, again, strict=True)):
        first, key = mx.random.split(key)
        close(one, mx.random.bernoulli(0.8, x.shape, first) * x / 0.8, "exact")
        close(other, one, "exact")
        share = (one == 0).mean().item()
        assert 0.15 < share < 0.25, n
    assert (got[0] != got[1]).any().item()


def test_nothing_is_dropped_in_evaluation():
    x = mx.random.normal((4, 5))
    with drawn_from(mx.random.key(0)):
        close(Dropout(0.9).eval()(x), x, "exact")
