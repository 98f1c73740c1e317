"""The fast tanh: within its bounds, odd, monotonic, and with tanh's own slope in training."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.tanh import choose, fast, gelu, rational, trained

X = np.concatenate([np.linspace(-12, 12, 40_001), [-1e6, -300, 0, 1e-8, 300, 1e6]]).astype(np.float32)


@pytest.mark.parametrize("form", [rational, fast, trained])
def test_it_is_tanh(form):
    close(form(mx.array(X)), np.tanh(X.astype(np.float64)), "functions")


def test_it_is_odd_and_stays_within_one():
    y = np.array(fast(mx.array(X)))
    np.testing.assert_array_equal(np.array(fast(mx.array(-X))), -y)
    assert np.abs(y).max() <= 1 + 1e-6


def test_its_slope_is_that_of_tanh():
    close(mx.grad(lambda x: trained(x).sum())(mx.array(X)), 1 - np.tanh(X.astype(np.float64)) ** 2, "torch")


def test_gelu_is_the_published_one():
    x = mx.array(X[:-6])
    close(gelu(x, fast), gelu(x, mx.tanh), "torch")


def test_an_export_gets_the_primitive():
    assert choose(exact=True, training=False) is mx.tanh
    assert choose(exact=True, training=True) is mx.tanh
