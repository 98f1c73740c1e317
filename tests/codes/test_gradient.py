"""What passes for the gradient of quantising."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import ALL_KINDS, normal, small
from tests.tolerances import close
from wotd_mlx.codes.gradient import straight_through


def gradient(function, z: np.ndarray, weights: np.ndarray) -> mx.array:
    """The gradient at z of the weighted sum of what ``function`` gives."""
    return mx.grad(lambda z: (function(z) * mx.array(weights)).sum())(mx.array(z))


def test_straight_through_is_the_code_to_the_bit_with_the_identity_as_its_gradient():
    z, code, weights = normal(50, 8), normal(50, 8, seed=1), normal(50, 8, seed=2)
    close(straight_through(mx.array(z), mx.array(code)), code, "exact")
    close(gradient(lambda z: straight_through(z, mx.array(code)), z, weights), weights, "exact")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_gradient_passes_straight_through_a_quantiser(kind):
    quantizer = small(kind)
    z, weights = normal(50, quantizer.width, seed=2), normal(50, quantizer.width, seed=3)
    want = gradient(lambda z: quantizer.bound(z) / quantizer._unit, z, weights) if kind == "fsq" else weights
    close(gradient(lambda z: quantizer(z).quantized, z, weights), want, "sum_order")
