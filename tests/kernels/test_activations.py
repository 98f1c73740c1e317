"""The activations: values and derivatives of both forms against float64, and when which is taken."""

from __future__ import annotations

import math
import threading

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.kernels import activations, compile
from wotd_mlx.kernels.choice import taking
from wotd_mlx.lvm import build, preset

FAR = [-1e6, -3e4, -300, 0, 1e-8, 300, 3e4, 1e6]
X = np.concatenate([np.linspace(-40, 40, 80_001), FAR]).astype(np.float32)
NAMES = ["tanh", "sigmoid", "silu", "gelu", "tanh_gelu"]
# x³ in GPT-2's form of MLX's own is beyond float32 farther out.
NEAR = np.abs(X) < 1e5


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def normal(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x * 0.5**0.5))


def inner(x):
    return np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))


TRUE = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: x * normal(x),
    "tanh_gelu": lambda x: 0.5 * x * (1 + inner(x)),
}
SLOPE = {
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "sigmoid": lambda x: sigmoid(x) * sigmoid(-x),
    "silu": lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "gelu": lambda x: normal(x) + x * np.exp(-0.5 * x * x) / (2 * np.pi) ** 0.5,
    "tanh_gelu": lambda x: (
        0.5 * (1 + inner(x)) + 0.5 * x * (1 - inner(x) ** 2) * (2 / np.pi) ** 0.5 * (1 + 0.134145 * x * x)
    ),
}


def found(name, x):
    return getattr(activations, name)(x)


@pytest.fixture(params=["compiled", "uncompiled", "gpu"])
def form(request, monkeypatch):
    """The fast form, the same without a compiler, and MLX's own."""
    if request.param == "uncompiled":
        monkeypatch.setattr(compile, "jit_available", lambda: False)
    with taking("gpu" if request.param == "gpu" else "cpu"):
        yield


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("name", NAMES)
def test_each_is_its_function(name):
    x = X[NEAR]
    # What grows with x loses digits with it.
    size = 1 if name in ("tanh", "sigmoid") else 1 + np.abs(x)
    close(np.array(found(name, mx.array(x))) / size, TRUE[name](x.astype(np.float64)) / size, "functions")


def test_small_numbers_keep_their_digits_in_silu():
    """Norms follow it, which make small numbers large."""
    x = np.geomspace(1e-8, 0.1, 300, dtype=np.float32) * np.array([[-1], [1]], np.float32)
    close(np.array(activations.silu(mx.array(x))) / x, sigmoid(x.astype(np.float64)), "functions")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_its_derivative_is_the_functions(name, compiled):
    def slope(x, dy):
        return mx.vjp(lambda x: found(name, x), [x], [dy])[1][0]

    got = (mx.compile(slope) if compiled else slope)(mx.array(X), mx.full(X.shape, 0.5))
    close(got, 0.5 * SLOPE[name](X.astype(np.float64)), "functions")


def test_tanh_is_odd_and_stays_within_one():
    y = np.array(activations.tanh(mx.array(X)))
    np.testing.assert_array_equal(np.array(activations.tanh(mx.array(-X))), -y)
    assert np.abs(y).max() <= 1 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_other_threads_and_streams_get_the_same(name):
    results = []
    want = np.array(found(name, mx.array(X)))

    def work():
        for stream in [mx.new_stream(mx.default_device()) for _ in range(2)] * 2:
            with mx.stream(stream):
                results.append(np.array(found(name, mx.array(X))))

    for thread in [threading.Thread(target=work) for _ in range(2)]:
        thread.start()
        thread.join()
    assert len(results) == 8
    for got in results:
        close(got, want, "exact")


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])
@pytest.mark.parametrize("name", NAMES)
def test_other_types_get_mlxs_own(name, dtype):
    x = mx.array(X[:80_001:97]).astype(dtype)
    for of in (lambda: found(name, x), lambda: mx.grad(lambda x: found(name, x).sum())(x)):
        got = of()
        with taking("gpu"):
            want = of()
        assert got.dtype == dtype
        close(got.astype(mx.float32), want.astype(mx.float32), "exact")


def test_a_layer_computed_again_on_the_way_back_gets_them_too():
    mx.random.seed(0)
    model, x = build("retnet", preset("retnet", "tiny", dims=8, width=16, dropout=0.0)), mx.random.normal((2, 5, 8))

    def gradient():
        weight = model.layers[0].up.weight

        def loss(w):
            model.layers[0].up.weight = w
            return mx.square(model(x)[0]).sum()

        found = mx.grad(loss)(weight)
        model.layers[0].up.weight = weight
        return found

    want = gradient()
    model.recomputing = True
    close(gradient(), want, "sum_order")
