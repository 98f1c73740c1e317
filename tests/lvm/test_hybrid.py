"""The hybrid's layout: which layers attend, and what their states hold."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.hybrid import Attention


def test_a_few_layers_attend_in_the_middle_of_the_others():
    assert preset("hybrid", "paper").attending == [4, 13]
    assert preset("hybrid", "tiny").attending == [2]


def test_only_attention_keeps_what_it_has_read():
    model = build("hybrid", preset("hybrid", "tiny", dims=8)).eval()
    cfg = preset("hybrid", "tiny")
    _, state = model(mx.zeros((3, 11, 8)))
    keys, values = state[2]
    assert keys.shape == values.shape == (3, cfg.key_heads, 11, cfg.width // cfg.heads)
    for i in (0, 1, 3):
        past, memory = state[i]
        assert past.shape[1] == cfg.kernel - 1
        assert memory.shape == (3, cfg.states, cfg.ssd_heads, cfg.head_width)


def test_groups_of_queries_share_keys():
    """As if each key head stood there once for every query head of its group."""
    cfg = preset("hybrid", "tiny")
    grouped, full = Attention(cfg), Attention(replace(cfg, key_heads=cfg.heads))
    full.q_proj, full.o_proj = grouped.q_proj, grouped.o_proj
    for name in ("k_proj", "v_proj"):
        heads = grouped[name].weight.reshape(cfg.key_heads, -1, cfg.width)
        full[name].weight = mx.repeat(heads, cfg.heads // cfg.key_heads, axis=0).reshape(cfg.width, cfg.width)
    x = mx.random.normal((2, 7, cfg.width), key=mx.random.key(0))
    close(grouped(x, None)[0], full(x, None)[0], "forms")
