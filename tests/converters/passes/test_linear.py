"""Products with a constant matrix are linear layers; flattened ones lose their reshapes."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.passes.graphs import normal, ops, passed

X, W, B = normal(3, 4), normal(4, 5, seed=1), normal(5, seed=2)


@pytest.mark.parametrize(
    ("fn", "inputs"),
    [
        (lambda x: x @ W, 2),
        (lambda x: x @ W + B, 3),
        (lambda x: B + x @ W, 3),
        (lambda x: mx.addmm(B, x, W), 3),
    ],
)
def test_products_with_a_matrix(fn, inputs):
    (node,) = passed(fn, X).nodes
    assert (node.op, len(node.inputs)) == ("Linear", inputs)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (2, 1, 3, 4)])
def test_products_of_any_rank(shape):
    assert ops(lambda x: x @ W, normal(*shape)) == {"Linear": 1}
    if len(shape) > 1:
        assert ops(lambda x: mx.addmm(B, x, W), normal(*shape)) == {"Linear": 1}


NEAR = {
    "a matrix for each of the batch": (lambda x: x @ normal(2, 4, 5), (normal(2, 3, 4),), {"Matmul": 1}),
    "a matrix that is computed": (lambda x, w: x @ w, (X, W), {"Matmul": 1}),
    "a factor in addmm": (lambda x: mx.addmm(B, x, W, 2.0, 1.0), (X,), {"AddMM": 1}),
    "a factor of what is added": (lambda x: mx.addmm(B, x, W, 1.0, 0.5), (X,), {"AddMM": 1}),
    "a number added": (lambda x: x @ W + 1.0, (X,), {"Linear": 1, "Add": 1}),
    "a column added": (lambda x: x @ W + mx.arange(3.0)[:, None], (X,), {"Linear": 1, "Add": 1}),
    "a vector that widens the product": (lambda x: x @ W[:, :1] + B, (X,), {"Linear": 1, "Add": 1}),
    "two vectors added": (lambda x: x @ W + B + B, (X,), {"Linear": 1, "Add": 1}),
}


@pytest.mark.parametrize("name", NEAR)
def test_what_is_near_a_linear_layer(name):
    fn, arrays, left = NEAR[name]
    assert ops(fn, *arrays) == left


def test_flattening_before_and_unfolding_after_goes():
    x = normal(2, 3, 4)
    assert ops(lambda x: (x.reshape(6, 4) @ W).reshape(2, 3, 5), x) == {"Linear": 1}
    assert ops(lambda x: (x.reshape(6, 4) @ W).reshape(3, 2, 5), x) == {"Linear": 1, "Reshape": 2}
    assert ops(lambda x: (x.reshape(3, 8) @ normal(8, 5)).reshape(3, 5, 1), x) == {"Linear": 1, "Reshape": 2}
    assert ops(lambda x: mx.exp(x.reshape(6, 4) @ W).reshape(2, 3, 5), x) == {"Linear": 1, "Reshape": 2, "Exp": 1}
