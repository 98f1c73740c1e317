"""RetNet: chunks change nothing, only distances count, and each head forgets at its own pace."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm import build, preset, retnet

CFG = preset("retnet", "tiny", dims=24)


@pytest.fixture(scope="module")
def model():
    mx.random.seed(0)
    return build("retnet", CFG).eval()


@pytest.mark.parametrize("chunk", [1, 7, 32])
def test_chunks_of_any_size_give_the_parallel_form(model, chunk):
    x = mx.random.normal((2, 32, 24), key=mx.random.key(1))
    other = build("retnet", replace(CFG, chunk=chunk)).eval()
    other.update(model.parameters())

    def loss(x, model):
        y, state = model(x)
        return (y * mx.cos(mx.arange(y.size).reshape(y.shape))).sum(), state[-1]

    (want, last), slope = mx.value_and_grad(lambda x: loss(x, model))(x)
    (got, its_last), its_slope = mx.value_and_grad(lambda x: loss(x, other))(x)
    close(got, want, "forms")
    close(its_last, last, "forms")
    close(its_slope, slope, "forms")


def test_only_distances_count(model):
    """300 vectors that write nothing leave no trace, although angles of places 300 and on are others."""
    layer = model.layers[0].retention
    places = {n: retnet.tables(CFG, n) for n in (9, 128, 309 % 128)}
    x = mx.random.normal((1, 9, CFG.width), key=mx.random.key(2))
    late = mx.concatenate([mx.zeros((1, 300, CFG.width)), x], axis=1)
    close(layer(late, None, places)[0][:, 300:], layer(x, None, places)[0], "forms")


def test_each_head_forgets_at_its_own_pace():
    """One vector written, read after 1 to 499 steps by a query with nothing but the slowest pair of numbers."""
    H, K = 4, 8
    t, one = (retnet.Tables(*retnet.tables(replace(CFG, width=H * K), n)) for n in (500, 1))
    slowest = (mx.arange(K) == K // 2 - 1).astype(mx.float32)
    k = mx.broadcast_to(slowest, (1, H, 1, K))
    _, state = retnet.retain(k, k, mx.ones((1, H, 1, 1)), None, one)
    q = retnet.turn(mx.broadcast_to(slowest, (1, 500, H, K)), t.turn, -1).transpose(0, 2, 1, 3)
    out, _ = retnet.retain(q, mx.zeros_like(q), mx.zeros((1, H, 500, 1)), state, t)
    steps = np.arange(1, 501)
    want = [(1 - 2.0 ** (-5 - h)) ** steps * np.cos(steps / 10000) / K**0.5 for h in range(H)]
    close(out[0, :, :, 0], np.stack(want), "paper")
