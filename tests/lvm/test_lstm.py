"""The LSTM and the GRU, which share what their mathematics promises: memory, and dropout between layers."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

from tests.tolerances import close
from wotd_mlx.lvm import build, preset

DIMS = 16


@pytest.fixture(params=["lstm", "gru"])
def model(request):
    mx.random.seed(0)
    model = build(request.param, preset(request.param, "tiny", dims=DIMS, width=24, dropout=0.0))
    mx.eval(model.parameters())
    return model


def vectors(batch: int, length: int) -> mx.array:
    return mx.random.normal((batch, length, DIMS), key=mx.random.key(1))


def test_weights_start_evenly_within_one_over_the_root_of_the_width(model):
    bound = 24**-0.5
    for name, weight in model.layers[0].parameters().items():
        assert 0.9 * bound < mx.abs(weight).max().item() <= bound, name
        assert abs(weight.mean().item()) < 0.15 * bound, name


def test_dropout_acts_between_layers_alone(model):
    """A model of one layer has none, as torch.nn's."""
    name = type(model).__module__.rpartition(".")[2]
    single = build(name, preset(name, "tiny", dims=DIMS, width=24, depth=1, dropout=0.9)).train()
    x = vectors(1, 5)
    close(single(x)[0], single(x)[0], "exact")
    double = build(name, preset(name, "tiny", dims=DIMS, width=24, depth=2, dropout=0.9)).train()
    assert mx.abs(double(x)[0] - double(x)[0]).max().item() > 1e-3


def test_an_lstm_whose_forget_gate_is_open_counts():
    """With i = f = 1 and g = 1 the memory is the number of vectors read, and h tanh of it."""
    model = build("lstm", preset("lstm", "tiny", dims=DIMS, width=24, depth=1)).eval()
    layer = model.layers[0]
    layer.update(tree_map(mx.zeros_like, layer.parameters()))
    layer.bias_ih = mx.full((4 * 24,), 40.0)
    _, state = model(vectors(2, 30))
    close(state[0][1], np.full((2, 24), 30.0), "functions")
    close(state[0][0], np.ones((2, 24)), "functions")


def test_a_gru_whose_update_gate_is_open_forgets_nothing():
    model = build("gru", preset("gru", "tiny", dims=DIMS, width=24, depth=1)).eval()
    layer = model.layers[0]
    layer.update(tree_map(mx.zeros_like, layer.parameters()))
    layer.bias_hh = mx.concatenate([mx.zeros(24), mx.full((24,), 40.0), mx.zeros(24)])
    start = mx.random.normal((2, 24))
    _, state = model(vectors(2, 30), [start])
    close(state[0], start, "torch")


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_half_precision_stays_half(model, mode):
    getattr(model, mode)().set_dtype(mx.bfloat16)
    y, state = model(vectors(2, 6).astype(mx.bfloat16))
    assert {y.dtype, *(a.dtype for _, a in tree_flatten(state))} == {mx.bfloat16}
