"""Norms are means over the same axes, divided by their own number of elements."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.passes.graphs import normal, ops, passed

X = normal(3, 4, 5)


def layer(x, axes=(-1,), eps=1e-5, over=None, centre=None, share=None):
    mean = x.mean(axes, keepdims=True) if centre is None else centre
    centred = x - mean
    variance = centred.square().mean(over or axes, keepdims=True)
    return centred * mx.rsqrt((variance if share is None else share * variance) + eps)


def rms(x, axes=(-1,), eps=1e-3):
    return x * mx.rsqrt(x.square().mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize(("axes", "found"), [((-1,), (2,)), ((1,), (1,)), ((1, 2), (1, 2)), ((0, 2), (0, 2))])
def test_norms_over_any_axes(axes, found):
    for fn, op, eps in ((layer, "LayerNorm", 1e-5), (rms, "RMSNorm", 1e-3)):
        graph = passed(lambda x, fn=fn: fn(x, axes), X)
        (node,) = graph.nodes
        assert (node.op, tuple(node.args[0]), node.args[1]) == (op, found, pytest.approx(eps))


NEAR = {
    "variance over other axes": lambda x: layer(x, (-1,), over=(1, 2)),
    "half the variance": lambda x: layer(x, share=0.5),
    "a mean of other rows": lambda x: layer(x, centre=x[::-1].mean(-1, keepdims=True)),
    "ε of each row": lambda x: layer(x, eps=mx.arange(1.0, 5.0)[:, None]),
    "the largest in place of the sum": lambda x: (
        (x - x.max(-1, keepdims=True) * 0.2)
        * mx.rsqrt((x - x.max(-1, keepdims=True) * 0.2).square().sum(-1, keepdims=True) * 0.2 + 1e-5)
    ),
    "a root and no reciprocal": lambda x: (
        (x - x.mean(-1, keepdims=True))
        * mx.sqrt((x - x.mean(-1, keepdims=True)).square().mean(-1, keepdims=True) + 1e-5)
    ),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_near_a_layer_norm_stays(name):
    assert "LayerNorm" not in ops(NEAR[name], X)


@pytest.mark.parametrize("share", [0.2 * 1.01, 0.2 * 0.99, 0.1])
def test_a_sum_is_a_mean_by_its_own_count_alone(share):
    def near(x):
        return x * mx.rsqrt(x.square().sum(-1, keepdims=True) * share + 1e-3)

    assert "RMSNorm" not in ops(near, X)


def test_lengths_are_roots_of_sums_of_squares():
    graph = passed(lambda x: x / mx.sqrt(x.square().sum((0, 2), keepdims=True)), X)
    assert {node.op: node.args for node in graph.nodes}["Length"] == ((0, 2),)
    assert "Length" not in ops(lambda x: x / mx.sqrt(x.square().max(-1, keepdims=True)), X)
    assert "Length" not in ops(lambda x: x * mx.rsqrt(x.square().sum(-1, keepdims=True)), X)


def scaled(x, weight, bias=None, axes=(-1,)):
    y = layer(x, axes) * weight
    return y if bias is None else y + bias


@pytest.mark.parametrize(
    ("fn", "left"),
    [
        (lambda x: scaled(x, mx.arange(5.0)), {"LayerNorm"}),
        (lambda x: scaled(x, mx.arange(5.0), mx.arange(5.0) - 2), {"LayerNorm"}),
        (lambda x: scaled(x, mx.arange(20.0).reshape(4, 5), axes=(1, 2)), {"LayerNorm"}),
        (lambda x: rms(x) * mx.arange(5.0), {"RMSNorm"}),
        (lambda x: scaled(x, mx.arange(4.0)[:, None]), {"LayerNorm", "Multiply"}),
        (lambda x: scaled(x, mx.array(2.0)), {"LayerNorm", "Multiply"}),
        (lambda x: scaled(x, mx.arange(5.0), axes=(1, 2)), {"LayerNorm", "Multiply"}),
        (lambda x: scaled(x, mx.arange(4.0)[:, None], axes=(1,)), {"LayerNorm", "Multiply"}),
        (lambda x: scaled(x, mx.arange(5.0), mx.arange(4.0)[:, None]), {"LayerNorm", "Add"}),
        (lambda x: layer(x) + mx.arange(5.0), {"LayerNorm", "Add"}),
        (lambda x: rms(x) * mx.arange(5.0) + mx.arange(5.0), {"RMSNorm", "Add"}),
    ],
)
def test_weights_belong_to_the_axes_that_are_normalised(fn, left):
    assert set(ops(fn, X)) == left
