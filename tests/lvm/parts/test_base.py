"""How a predictor goes through its layers, counts its weights, and computes a layer a second time."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.dropout import Dropout, drawn_from
from wotd_mlx.lvm.parts.base import Predictor

D = 3


class Layer(nn.Module):
    """h + w · (what was read before) · factor, after dropout; its state is the last h."""

    def __init__(self, weight):
        super().__init__()
        self.weight = mx.array(weight)
        self.dropout = Dropout(0.2)

    def __call__(self, h, state=None, factor=1.0):
        before = mx.zeros_like(h[:, :1]) if state is None else state
        past = mx.concatenate([before, h[:, :-1]], axis=1)
        return self.dropout(h + self.weight * past * factor), h[:, -1:]


class Small(Predictor):
    def __init__(self):
        super().__init__()
        self.layers = [Layer([2.0, 3.0, 5.0]), Layer([-1.0, 0.5, 4.0])]
        self.frozen = nn.Linear(2, 4)
        self.frozen.freeze()

    def __call__(self, x, state=None):
        return self.through_layers(x, state, 10.0)


def by_hand(x, before):
    """h of two layers and their states, in NumPy."""
    after = []
    for weight, last in zip(([2.0, 3.0, 5.0], [-1.0, 0.5, 4.0]), before, strict=True):
        h = x + 10 * np.array(weight) * np.concatenate([last, x[:, :-1]], axis=1)
        after.append(x[:, -1:])
        x = h
    return x, after


def test_each_layer_has_its_own_state_and_the_same_further_inputs():
    model = Small().eval()
    x = np.random.default_rng(0).normal(size=(2, 5, D)).astype("float32")
    want, after = by_hand(x, [np.zeros((2, 1, D))] * 2)
    got, state = model(mx.array(x))
    close(got, want, "paper")
    want, wanted = by_hand(x[:, :1] + 1, after)
    got, state = model.step(mx.array(x[:, 0] + 1), state)
    close(got, want[:, 0], "paper")
    for one, other in zip(state, wanted, strict=True):
        close(one, other, "paper")


def test_frozen_weights_count():
    assert Small().size == 3 + 3 + 2 * 4 + 4


@pytest.mark.parametrize("recomputing", [False, True])
def test_a_layer_that_is_computed_again_drops_the_same_numbers(recomputing):
    """Value and gradients are those of one pass whose dropout draws from the key that :meth:`through` splits off."""
    model = Small().train()
    model.recomputing = recomputing
    layer, x = model.layers[0], mx.random.normal((2, 40, D), key=mx.random.key(1))

    def loss(call):
        def value(weights, x):
            layer.update(weights)
            return mx.sin(call(x)).sum()

        return mx.value_and_grad(value, argnums=(0, 1))(layer.trainable_parameters(), x)

    mx.random.seed(3)
    got = loss(lambda x: model.through(layer, x, None, 7.0)[0])
    mx.random.seed(3)
    if recomputing:
        key = mx.random.randint(0, 2**31 - 1, (2,)).astype(mx.uint32)
        with drawn_from(key):
            want = loss(lambda x: layer(x, None, 7.0)[0])
    else:
        want = loss(lambda x: layer(x, None, 7.0)[0])
    for (_, a), (_, b) in zip(tree_flatten(got), tree_flatten(want), strict=True):
        close(a, b, "sum_order")


def test_a_predictor_has_to_say_what_it_does():
    with pytest.raises(NotImplementedError):
        Predictor()(mx.zeros((1, 1, D)))
