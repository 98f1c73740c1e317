"""Mamba-2: memory has no window."""

from __future__ import annotations

import mlx.core as mx

from wotd_mlx.lvm import build, preset


def test_memory_outlives_every_window():
    """The first of 400 vectors still shows in the last prediction: no window, no forgetting by construction."""
    model = build("mamba2", preset("mamba2", "tiny", dims=8, depth=1)).eval()
    model.layers[0].mixer.a_log = mx.full(model.layers[0].mixer.a_log.shape, -12.0)
    x = mx.random.normal((1, 400, 8), key=mx.random.key(0))
    changed = mx.concatenate([x[:, :1] + 3, x[:, 1:]], axis=1)
    assert mx.abs(model(changed)[0][:, -1] - model(x)[0][:, -1]).max().item() > 1e-5
