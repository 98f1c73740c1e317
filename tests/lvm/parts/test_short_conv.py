"""The short convolution is its sums, with its bias, whole and in pieces."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.short_conv import ShortConv


@pytest.mark.parametrize("reach", [1, 3, 4])
def test_it_is_causal_and_goes_on(reach):
    conv = ShortConv(5, reach)
    conv.bias = mx.arange(5) / 3
    x = mx.random.normal((2, 9, 5), key=mx.random.key(0))
    padded = np.pad(np.array(x), [(0, 0), (reach - 1, 0), (0, 0)])
    weight, bias = np.array(conv.weight), np.array(conv.bias)
    want = np.stack([bias + (weight * padded[:, t : t + reach]).sum(axis=1) for t in range(9)], axis=1)
    whole, past = conv(x, None)
    close(whole, want, "sum_order")
    close(past, padded[:, 9:], "exact")
    first, state = conv(x[:, :2], None)
    rest, state = conv(x[:, 2:], state)
    close(mx.concatenate([first, rest], axis=1), want, "sum_order")
    close(state, past, "exact")


def test_it_starts_like_torch():
    """Taps uniform within 1 / √reach (nn.Conv1d of one input a channel), and no bias."""
    conv = ShortConv(10_000, 4)
    weight = np.array(conv.weight)
    assert weight.shape == (4, 10_000)
    assert -0.5 <= weight.min() < -0.4999
    assert 0.4999 < weight.max() <= 0.5
    close(weight.mean(), np.float32(0), "sampled_mean")
    close(conv.bias, np.zeros(10_000), "exact")
    half = ShortConv(2, 3)
    half.set_dtype(mx.bfloat16)
    y, past = half(mx.ones((1, 2, 2), mx.bfloat16), None)
    assert (y.dtype, past.dtype) == (mx.bfloat16, mx.bfloat16)
