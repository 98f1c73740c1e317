"""The CPU's softmax in attention, against NumPy and against MLX's own."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.kernels.attention import attention
from wotd_mlx.kernels.choice import taking
from wotd_mlx.kernels.exponential import exp_below


def test_exp_is_exact_enough_where_a_weight_counts():
    x = np.linspace(-10, 0, 10_001, dtype=np.float32)
    close(exp_below(mx.array(x), mx.array(0.0), mx.array(1.0)), np.exp(x.astype(float)), "exp")
    close(exp_below(mx.array(0.5 * x + 3), mx.array(3.0), mx.array(2.0)), np.exp(x.astype(float)), "exp")
    assert 0 < exp_below(mx.array(-1e4), mx.array(0.0), mx.array(1.0)).item() < 1e-12


@pytest.mark.parametrize("shape", [(1, 2, 3, 8), (8, 12, 4, 32), (3, 12, 33, 32)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("path", ["cpu", "gpu"])
def test_attention_is_its_formula(shape, masked, path):
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, *shape))
    real = rng.random((shape[0], shape[2])) < 0.7
    real[:, 0] = True
    bias = np.where(real, 0, -1e4)[:, None, None] * masked
    weights = np.exp(0.3 * q @ k.swapaxes(-1, -2) + bias)
    want = weights / weights.sum(axis=-1, keepdims=True) @ v
    qkv = mx.array(np.stack([q, k, v]).astype(np.float32))
    with taking(path):
        got = attention(qkv, 0.3, mx.array(bias.astype(np.float32)) if masked else None)
    close(got, want, "sum_order")
