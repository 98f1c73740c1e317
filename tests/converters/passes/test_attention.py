"""Attention is two products and a softmax over the same batches, and masked by what is as good as −∞."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.passes.graphs import normal, ops, passed

Q, K, V = normal(2, 3, 5, 4), normal(2, 3, 6, 4, seed=1), normal(2, 3, 6, 7, seed=2)
BITS = normal(5, 6, seed=3) > -0.5


def attend(q, k, v, scale=0.4):
    return mx.softmax((q * scale) @ k.swapaxes(-1, -2), axis=-1) @ v


def test_scores_may_be_scaled_before_or_behind():
    for fn in (attend, lambda q, k, v: mx.softmax(0.4 * (q @ k.swapaxes(-1, -2)), axis=-1) @ v):
        graph = passed(fn, Q, K, V)
        assert dict(graph.counts()) == {"Attention": 1}
        assert graph.nodes[0].args == (pytest.approx(0.4),)
        assert graph.nodes[0].inputs == ("a", "b", "c")


@pytest.mark.parametrize("masked", [lambda s, m: s + m, lambda s, m: m + s])
def test_an_added_mask(masked):
    graph = passed(
        lambda q, k, v, m: mx.softmax(masked((q * 0.4) @ k.swapaxes(-1, -2), m), axis=-1) @ v, Q, K, V, normal(5, 6)
    )
    assert dict(graph.counts()) == {"Attention": 1}
    assert graph.nodes[0].inputs == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("low", "fused"), [(-float("inf"), 1), (-1e9, 1), (-3e4, 1), (-1e4, 0), (-5.0, 0), (0.0, 0), (1e9, 0)]
)
def test_only_what_is_as_good_as_minus_infinity_masks(low, fused):
    found = ops(
        lambda q, k, v, m: mx.softmax(mx.where(m, (q * 0.4) @ k.swapaxes(-1, -2), low), axis=-1) @ v, Q, K, V, BITS
    )
    assert found.get("Attention", 0) == fused


def test_a_mask_the_other_way_round_stays():
    """What is True is left out: the pattern's mask keeps what is True."""
    found = ops(
        lambda q, k, v, m: mx.softmax(mx.where(m, -1e9, (q * 0.4) @ k.swapaxes(-1, -2)), axis=-1) @ v, Q, K, V, BITS
    )
    assert "Attention" not in found


NEAR = {
    "no scale": (lambda q, k, v: mx.softmax(q @ k.swapaxes(-1, -2), axis=-1) @ v, (Q, K, V)),
    "a scale of each feature": (
        lambda q, k, v: mx.softmax((q * mx.arange(4.0)) @ k.swapaxes(-1, -2), axis=-1) @ v,
        (Q, K, V),
    ),
    "keys as they lie": (lambda q, k, v: mx.softmax((q * 0.4) @ k, axis=-1) @ v, (Q, K.swapaxes(-1, -2), V)),
    "axes of the keys moved otherwise": (
        lambda q, k, v: mx.softmax((q * 0.4) @ k.transpose(1, 0, 3, 2), axis=-1) @ v,
        (normal(2, 2, 5, 4), normal(2, 2, 6, 4, seed=1), normal(2, 2, 6, 7, seed=2)),
    ),
    "a matrix alone": (attend, (Q[0, 0], K[0, 0], V[0, 0])),
    "keys of one batch": (attend, (Q, K[:1], V)),
    "values of one batch": (attend, (Q, K, V[:1])),
    "values of fewer axes": (attend, (Q, K, V[0])),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_near_attention_stays(name):
    fn, arrays = NEAR[name]
    assert "Attention" not in ops(fn, *arrays)


def test_three_axes_are_enough():
    assert ops(attend, Q[0], K[0], V[0]) == {"Attention": 1}
