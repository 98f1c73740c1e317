"""S4: kernels that can't be are refused, and the diagonal form is a model too."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.lvm.forms import reads_alike
from wotd_mlx.lvm import build, preset
from wotd_mlx.schemas import WotdError


def test_kernels_that_cannot_be_are_refused():
    with pytest.raises(WotdError, match="s4 kernel is 's5', expected 's4' or 's4d'"):
        preset("s4", "tiny", kernel="s5")
    with pytest.raises(WotdError, match="s4 states is 7, expected an even number"):
        preset("s4", "tiny", states=7)


def test_the_diagonal_form_is_a_model_too():
    model = build("s4", preset("s4", "tiny", dims=8, kernel="s4d")).eval()
    assert "p" not in model.layers[0].ssm
    reads_alike(model, mx.random.normal((1, 9, 8)), [4])
