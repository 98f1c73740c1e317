"""What Hyena's mathematics promises: filters of any length from one network, and a past that a state keeps whole."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.lvm.forms import in_pieces
from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.hyena import HyenaFilter


def test_a_longer_filter_begins_with_the_shorter():
    cfg = preset("hyena", "tiny", width=6)
    filters = HyenaFilter(cfg)
    close(filters(300)[..., :20], filters(20), "sum_order")


def test_the_window_closes():
    """Without the weight of the place itself a filter is within the window: less than a hundredth at .3 or 1.5 T."""
    cfg = preset("hyena", "tiny", width=6)
    filters = HyenaFilter(cfg)
    h, bound = np.array(filters(2 * cfg.longest)), np.abs(np.array(filters.out.weight)).sum(1).reshape(2, 6)
    assert (np.abs(h[:, -1, int(0.3 * cfg.longest) + 1 :]) <= 0.01 * bound[:, -1:]).all()
    assert (np.abs(h[:, 0, int(1.5 * cfg.longest) + 1 :]) <= 0.01 * bound[:, :1]).all()


@pytest.mark.parametrize("order", [1, 3])
def test_forms_agree_past_the_length_of_training(order):
    """Across the change from matrices to transforms, and beyond ``longest``."""
    mx.random.seed(0)
    model = build("hyena", preset("hyena", "tiny", dims=8, depth=2, order=order)).eval()
    x = mx.random.normal((1, 90, 8))
    close(in_pieces(model, x, [62, *range(63, 71)])[0], model(x)[0], "forms")
