"""Cross-entropy in a vector loop, against float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.kernels.cross_entropy import cross_entropy


@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
def test_cross_entropy_and_its_slope(scale):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, scale, (40, 700)), rng.integers(700, size=40)
    weights = rng.normal(size=40)

    def loss(logits: mx.array) -> mx.array:
        return (cross_entropy(logits, mx.array(targets)) * mx.array(weights.astype(np.float32))).sum()

    x = mx.array(logits.astype(np.float32))
    far = np.exp(logits - logits.max(axis=1, keepdims=True))
    want = np.log(far.sum(axis=1)) + logits.max(axis=1) - logits[np.arange(40), targets]
    close(cross_entropy(x, mx.array(targets)), want, "quick_loss")
    want = (far / far.sum(axis=1, keepdims=True) - np.eye(700)[targets]) * weights[:, None]
    for gradient in (mx.grad(loss), mx.compile(mx.grad(loss))):
        close(gradient(x), want, "quick_loss")
