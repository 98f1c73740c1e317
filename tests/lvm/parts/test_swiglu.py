"""The gated feed-forward layer is its formula."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.lvm.parts.swiglu import SwiGLU


@pytest.mark.parametrize("silu", [None, nn.silu])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_it_is_its_formula(silu, mode):
    layer = getattr(SwiGLU(3, 5), mode)()
    x = mx.random.normal((2, 4, 3), key=mx.random.key(0))
    gate, up, down = (np.array(layer[name].weight, np.float64) for name in ("gate", "up", "down"))
    h = np.array(x, np.float64)
    gated = h @ gate.T / (1 + np.exp(-h @ gate.T))
    close(layer(x, silu), (gated * (h @ up.T)) @ down.T, "paper")
    assert {*layer.gate, *layer.up, *layer.down} == {"weight"}


def test_a_given_silu_is_taken():
    layer = SwiGLU(3, 5)
    x = mx.random.normal((2, 3))
    close(layer(x, mx.zeros_like), mx.zeros((2, 3)), "exact")
