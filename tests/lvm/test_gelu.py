"""The fast GELU: within its bounds of the exact one, with the exact one's slope in training."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.lvm.parts.gelu import choose, fast, rational, trained

X = mx.array(np.concatenate([np.linspace(-12, 12, 40_001), [-1e5, -300, 0, 1e-8, 300, 1e5]]).astype(np.float32))


@pytest.mark.parametrize("form", [rational, fast, trained])
def test_it_is_gelu(form):
    close(form(X), nn.gelu(X), "functions")


def test_its_slope_is_that_of_gelu():
    close(mx.grad(lambda x: trained(x).sum())(X), mx.grad(lambda x: nn.gelu(x).sum())(X), "torch")


def test_an_export_gets_the_primitives():
    assert choose(exact=True, training=False) is nn.gelu
    assert choose(exact=True, training=True) is nn.gelu
