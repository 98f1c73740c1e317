"""The Transformer: its sinusoids, and where dropout acts."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_map

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.transformer import sinusoids


def test_a_shift_of_place_is_a_rotation():
    """The product of two places' sinusoids tells their distance alone, as far out as the longest context."""
    table = np.array(sinusoids(0, 4096, 64), dtype=np.float64)
    close((table * table).sum(1), np.full(4096, 32.0), "torch")
    close((table[4000:4090] * table[4006:4096]).sum(1), np.full(90, (table[0] * table[6]).sum()), "torch")
    close(sinusoids(7, 5, 64), sinusoids(0, 12, 64)[7:], "exact")


def test_order_matters():
    model = build("transformer", preset("transformer", "tiny", dims=24)).eval()
    x = mx.random.normal((1, 6, 24))
    swapped = mx.take(x, mx.array([1, 0, 2, 3, 4, 5]), axis=1)
    assert mx.abs(model(x)[0][:, -1] - model(swapped)[0][:, -1]).max().item() > 1e-3


@pytest.mark.parametrize("name", ["distilgpt2", "linformer", "lcm"])
def test_a_layer_computed_again_drops_the_same(name):
    """Along its gradient a loss that drops by one seed grows by the gradient's length."""
    model, x = build(name, preset(name, "tiny", dims=24, dropout=0.3)).train(), mx.random.normal((2, 6, 24))
    model.recomputing = True

    def loss(model):
        mx.random.seed(3)
        return mx.square(model(x)[0]).mean()

    gradient = nn.value_and_grad(model, loss)(model)[1]
    weights = model.trainable_parameters()
    length = sum(mx.square(g).sum() for _, g in tree_flatten(gradient)) ** 0.5
    ends = []
    for step in (0.003, -0.003):
        model.update(tree_map(lambda w, g, step=step: w + step * g / length, weights, gradient))
        ends.append(loss(model).item())
    assert (ends[0] - ends[1]) / 0.006 == pytest.approx(length.item(), rel=3e-3)


@pytest.mark.parametrize("name", ["transformer", "distilgpt2"])
def test_training_drops_and_evaluation_does_not(name):
    model = build(name, preset(name, "tiny", dims=24))
    x = mx.random.normal((2, 6, 24))
    model.train()
    assert mx.abs(model(x)[0] - model(x)[0]).max().item() > 1e-3
    model.eval()
    close(model(x)[0], model(x)[0], "exact")


@pytest.mark.parametrize("name", ["transformer", "distilgpt2"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_half_precision_stays_half(name, mode):
    model = getattr(build(name, preset(name, "tiny", dims=24)), mode)()
    model.set_dtype(mx.bfloat16)
    y, state = model(mx.random.normal((2, 6, 24)).astype(mx.bfloat16))
    assert {y.dtype, *(a.dtype for _, a in tree_flatten(state))} == {mx.bfloat16}
