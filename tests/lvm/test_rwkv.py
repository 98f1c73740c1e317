"""RWKV-7: its forms agree for any weights, and its ranks are the authors'."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx.utils import tree_map

from tests.lvm.forms import reads_alike
from wotd_mlx.lvm import architecture, build, preset


def test_forms_agree_for_any_weights():
    """At the start each block adds nothing, which would agree with anything; so all weights are random here."""
    mx.random.seed(0)
    model = build("rwkv", preset("rwkv", "tiny", dims=24, depth=2)).eval()
    model.update(tree_map(lambda w: w + 0.1 * mx.random.normal(w.shape), model.parameters()))
    mx.eval(model.parameters())
    x = mx.random.normal((2, 21, 24), key=mx.random.key(1))
    reads_alike(model, x, [18], [3])


@pytest.mark.parametrize("size", ["tiny", "paper"])
def test_ranks_follow_the_authors_rule(size):
    cfg = architecture("rwkv").PRESETS[size]
    W = cfg.width
    rule = [max(32, round(wanted / 32) * 32) for wanted in (1.8 * W**0.5, 1.8 * W**0.5, 1.3 * W**0.5, 0.6 * W**0.8)]
    assert [cfg.decay_rank, cfg.rate_rank, cfg.value_rank, cfg.gate_rank] == rule
