"""Causal attention against a softmax written out in float64, key by key."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.lvm.parts.attention import attend, extend, merge_heads, split_heads

B, H, W = 2, 6, 5


def draw(length: int, read: int, key_heads: int = H):
    """Queries and keys large enough for uneven weights."""
    rng = np.random.default_rng(0)
    shapes = (B, H, length, W), (B, key_heads, read, W), (B, key_heads, read, W)
    return [1.5 * rng.normal(size=shape).astype("float32") for shape in shapes]


def by_hand(q, k, v, share=None):
    """The definition; ``share`` (B, H, L, read) multiplies the softmax's weights."""
    q, k, v = (part.astype(float) for part in (q, k, v))
    length, read, group = q.shape[2], k.shape[2], H // k.shape[1]
    out = np.zeros_like(q)
    for b, h, t in np.ndindex(B, H, length):
        seen = read - length + t + 1
        scores = np.exp(k[b, h // group, :seen] @ q[b, h, t] / W**0.5)
        weights = scores / scores.sum() * (1 if share is None else share[b, h, t, :seen])
        out[b, h, t] = weights @ v[b, h // group, :seen]
    return out


@pytest.mark.parametrize(("length", "read", "key_heads"), [(4, 4, H), (3, 7, H), (1, 5, H), (4, 6, 2)])
def test_outside_of_training_it_is_softmax_attention(length, read, key_heads):
    q, k, v = draw(length, read, key_heads)
    known = mx.array(k), mx.array(v)
    want = by_hand(q, k, v)
    close(attend(mx.array(q), known), want, "paper")
    close(attend(mx.array(q), known, nn.Dropout(0.2).eval()), want, "paper")
    close(attend(mx.array(q), known, nn.Dropout(0.0)), want, "paper")


@pytest.mark.parametrize(("length", "read"), [(3, 7), (4, 4)])
def test_dropout_acts_on_the_weights_of_the_softmax(length, read):
    q, k, v = draw(length, read)
    mx.random.seed(3)
    got = attend(mx.array(q), (mx.array(k), mx.array(v)), nn.Dropout(0.2))
    mx.random.seed(3)
    kept = np.array(mx.random.bernoulli(0.8, (B, H, length, read)))
    close(got, by_hand(q, k, v, kept / 0.8), "paper")


def test_heads_are_neighbouring_numbers():
    x = np.arange(2 * 3 * 12).reshape(2, 3, 12)
    split = split_heads(mx.array(x), 4)
    want = np.array([[[x[b, t, 3 * h : 3 * h + 3] for t in range(3)] for h in range(4)] for b in range(2)])
    close(split, want, "ids")
    close(merge_heads(split), x, "ids")


def test_new_keys_and_values_stand_after_the_old():
    _, k, v = (mx.array(part) for part in draw(1, 5))
    assert extend(None, k, v) == (k, v)
    for got, want in zip(extend((k[:, :, :2], v[:, :, :2]), k[:, :, 2:], v[:, :, 2:]), (k, v), strict=True):
        close(got, want, "exact")
