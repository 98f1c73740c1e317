"""Rotation of halves against the formula in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.rotary import rotate


@pytest.mark.parametrize("dims", [None, 6])
@pytest.mark.parametrize("offset", [0, 3, 40])
@pytest.mark.parametrize("base", [20.0, 10_000.0])
def test_rotation_is_by_the_formula(dims, offset, base):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 8)).astype("float32")
    half = (dims or 8) // 2
    angles = (offset + np.arange(5))[:, None] * base ** (-np.arange(half) / half)
    first, second = x[..., :half], x[..., half : 2 * half]
    turned = [first * np.cos(angles) - second * np.sin(angles), second * np.cos(angles) + first * np.sin(angles)]
    close(rotate(mx.array(x), offset, base, dims), np.concatenate([*turned, x[..., 2 * half :]], axis=-1), "paper")
