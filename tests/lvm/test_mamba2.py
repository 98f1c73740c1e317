"""Mamba-2's mathematics: the chunked form is the recurrence, at any chunk, from any memory, at any decay."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.parts.short_conv import ShortConv
from wotd_mlx.lvm.parts.ssd import segment_products, ssd

B, L, H, W, N = 2, 21, 3, 4, 5


def draw(least_decay: float = 0.0):
    """x, log-decays, b, c and a memory."""
    rng = np.random.default_rng(0)
    shapes = (B, L, H, W), (B, L, N), (B, L, N), (B, N, H, W)
    x, b, c, memory = (rng.normal(size=shape).astype("float32") for shape in shapes)
    return x, least_decay * rng.random((B, L, H), "float32"), b, c, memory


def recurrence(x, log_decay, b, c, memory):
    """The definition, in float64, one place after the other."""
    x, log_decay, b, c, memory = (part.astype(float) for part in (x, log_decay, b, c, memory))
    rows = []
    for t in range(L):
        memory = np.exp(log_decay[:, t])[:, None, :, None] * memory + np.einsum("bn,bhw->bnhw", b[:, t], x[:, t])
        rows.append(np.einsum("bn,bnhw->bhw", c[:, t], memory))
    return np.stack(rows, axis=1), memory


@pytest.mark.parametrize("chunk", [1, 4, 7, 64])
@pytest.mark.parametrize("least_decay", [0.0, -1.0, -300.0])
def test_chunks_are_the_recurrence(chunk, least_decay):
    drawn = draw(least_decay)
    want, want_memory = recurrence(*drawn)
    y, memory = ssd(*map(mx.array, drawn), chunk)
    close(y, want, "paper")
    close(memory, want_memory, "paper")


@pytest.mark.parametrize("least_decay", [-1.0, -300.0])
def test_gradients_do_not_depend_on_the_chunk(least_decay):
    """Above all where decays are so strong that their products are 0."""
    drawn = [mx.array(part) for part in draw(least_decay)]

    def gradients(chunk):
        return mx.grad(lambda *parts: mx.sin(ssd(*parts, chunk)[0]).mean(), argnums=(0, 1, 2, 3, 4))(*drawn)

    for got, want in zip(gradients(4), gradients(64), strict=True):
        assert mx.isfinite(got).all()
        close(got, want, "forms")


def test_segment_products():
    got = segment_products(mx.array([[2.0, 3.0, 5.0]]))
    close(got, [[[1, 1, 1], [3, 1, 1], [15, 5, 1]]], "exact")


def test_the_convolution_is_causal_and_goes_on():
    conv = ShortConv(2, 4)
    x = mx.random.normal((1, 9, 2), key=mx.random.key(0))
    padded = np.concatenate([np.zeros((3, 2)), np.array(x[0])])
    want = [(np.array(conv.weight) * padded[t : t + 4]).sum(axis=0) for t in range(9)]
    first, past = conv(x[:, :2], None)
    rest, _ = conv(x[:, 2:], past)
    close(mx.concatenate([first, rest], axis=1)[0], want, "forms")


def test_forms_agree_over_many_chunks():
    model = build("mamba2", preset("mamba2", "tiny", dims=8, depth=2, chunk=16)).eval()
    x = mx.random.normal((1, 101, 8), key=mx.random.key(0))
    whole, _ = model(x)
    first, state = model(x[:, :50])
    rest, _ = model(x[:, 50:], state)
    close(mx.concatenate([first, rest], axis=1), whole, "forms")


def test_memory_outlives_every_window():
    """The first of 400 vectors still shows in the last prediction: no window, no forgetting by construction."""
    model = build("mamba2", preset("mamba2", "tiny", dims=8, depth=1)).eval()
    model.layers[0].mixer.a_log = mx.full(model.layers[0].mixer.a_log.shape, -12.0)
    x = mx.random.normal((1, 400, 8), key=mx.random.key(0))
    changed = mx.concatenate([x[:, :1] + 3, x[:, 1:]], axis=1)
    assert mx.abs(model(changed)[0][:, -1] - model(x)[0][:, -1]).max().item() > 1e-5
