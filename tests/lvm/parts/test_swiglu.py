"""The gated feed-forward layer is its formula."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.kernels.choice import taking
from wotd_mlx.lvm.parts.swiglu import SwiGLU


@pytest.mark.parametrize("path", ["cpu", "gpu"])
def test_it_is_its_formula(path):
    layer = SwiGLU(3, 5)
    x = mx.random.normal((2, 4, 3), key=mx.random.key(0))
    gate, up, down = (np.array(layer[name].weight, np.float64) for name in ("gate", "up", "down"))
    h = np.array(x, np.float64)
    gated = h @ gate.T / (1 + np.exp(-h @ gate.T))
    with taking(path):
        close(layer(x), (gated * (h @ up.T)) @ down.T, "paper")
    assert {*layer.gate, *layer.up, *layer.down} == {"weight"}
