"""Slots are sums over what was read, and a context has an end."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.schemas import WotdError


def model(**changes):
    mx.random.seed(0)
    made = build("linformer", preset("linformer", "tiny", dims=24, **changes)).eval()
    mx.eval(made.parameters())
    return made


def test_slots_are_projections_of_all_keys_and_values():
    """The first layer's state is Eᵀ K and Fᵀ V of the whole sequence."""
    made = model()
    x = mx.random.normal((2, 21, 24))
    _, (_, slots) = made(x)
    block = made.layers[0]
    h = block.attention_norm(made.embed(x) + made.position.weight[:21])
    layer = block.attention
    for got, part, rows in zip(slots[0], (layer.key, layer.value), (layer.key_rows, layer.value_rows), strict=True):
        want = rows[:21].T @ part(h)
        close(got.transpose(0, 2, 1, 3).reshape(want.shape), want, "forms")


def test_a_context_longer_than_its_places_is_refused():
    made = model(longest=8)
    _, state = made(mx.zeros((1, 8, 24)))
    with pytest.raises(WotdError, match="linformer got 9 vectors, and reads 8 at most; shorten"):
        made(mx.zeros((1, 9, 24)))
    with pytest.raises(WotdError, match="linformer got 9 vectors"):
        made.step(mx.zeros((1, 24)), state)
