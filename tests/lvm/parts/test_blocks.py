"""Modules of a model seen as one block."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm.parts.blocks import Stage


def test_a_stage_has_the_weights_of_its_parts_and_hands_the_state_on():
    first, last = nn.Linear(3, 5), nn.Linear(5, 2, bias=False)
    stage, state = Stage((first, last), lambda h: last(first(h))), object()
    x = mx.random.normal((4, 3))
    y, after = stage(x, state)
    close(y, x @ first.weight.T @ last.weight.T + first.bias @ last.weight.T, "sum_order")
    assert after is state
    assert stage(x)[1] is None
    assert [weight.shape for _, weight in tree_flatten(stage.parameters())] == [(5, 3), (5,), (2, 5)]
