"""The CPU forms agree with the exact ones wherever they are used."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.kernels import attention, compile

FAR = np.concatenate([np.linspace(-8, 8, 20_001), [-1e4, -100, -30, 0.0, 30, 100, 1e4]]).astype(np.float32)


def test_gelu_is_exact_enough_everywhere():
    want = [x * 0.5 * math.erfc(-x / math.sqrt(2)) for x in FAR.astype(float)]
    close(attention.power_gelu(mx.array(FAR)), np.array(want, np.float32), "gelu")
    close(attention.CPU.gelu(mx.array(FAR)), np.array(want, np.float32), "gelu")


def test_exp_is_exact_enough_where_a_weight_counts():
    x = np.linspace(-10, 0, 10_001, dtype=np.float32)
    close(attention.exp_below(mx.array(x), mx.array(0.0), mx.array(1.0)), np.exp(x.astype(float)), "exp")
    assert attention.exp_below(mx.array(-1e4), mx.array(0.0), mx.array(1.0)).item() < 1e-12


@pytest.mark.parametrize("shape", [(1, 2, 3, 8), (8, 12, 4, 32), (3, 12, 33, 32)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_agrees(shape, masked):
    rng = np.random.default_rng(0)
    qkv = mx.array(rng.normal(size=(3, *shape)).astype(np.float32))
    real = rng.random((shape[0], shape[2])) < 0.7
    real[:, 0] = True
    bias = mx.array(np.where(real, 0, -1e4).astype(np.float32))[:, None, None] if masked else None
    close(attention.CPU.attention(qkv, 0.3, bias), attention.EXACT.attention(qkv, 0.3, bias), "sum_order")


def test_a_fused_form_serves_every_stream():
    streams = [mx.default_stream(mx.default_device()), mx.new_stream(mx.default_device())]
    for stream in [*streams, *streams]:
        with mx.stream(stream):
            close(attention.CPU.gelu(mx.ones(5)), nn.gelu(mx.ones(5)), "gelu")


def test_without_a_compiler_the_forms_still_work(monkeypatch):
    monkeypatch.setattr(compile, "jit_available", lambda: False)
    close(attention.CPU.gelu(mx.array(FAR)), attention.power_gelu(mx.array(FAR)), "gelu")
