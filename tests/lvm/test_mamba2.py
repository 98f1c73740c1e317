"""Mamba-2: chunks change nothing, and its memory has no window."""

from __future__ import annotations

import mlx.core as mx

from tests.tolerances import close
from wotd_mlx.lvm import build, preset


def test_forms_agree_over_many_chunks():
    model = build("mamba2", preset("mamba2", "tiny", dims=8, depth=2, chunk=16)).eval()
    x = mx.random.normal((1, 101, 8), key=mx.random.key(0))
    whole, _ = model(x)
    first, state = model(x[:, :50])
    rest, _ = model(x[:, 50:], state)
    close(mx.concatenate([first, rest], axis=1), whole, "forms")


def test_memory_outlives_every_window():
    """The first of 400 vectors still shows in the last prediction: no window, no forgetting by construction."""
    model = build("mamba2", preset("mamba2", "tiny", dims=8, depth=1)).eval()
    model.layers[0].mixer.a_log = mx.full(model.layers[0].mixer.a_log.shape, -12.0)
    x = mx.random.normal((1, 400, 8), key=mx.random.key(0))
    changed = mx.concatenate([x[:, :1] + 3, x[:, 1:]], axis=1)
    assert mx.abs(model(changed)[0][:, -1] - model(x)[0][:, -1]).max().item() > 1e-5
