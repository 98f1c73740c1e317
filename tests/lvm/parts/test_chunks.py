"""Chunks hold every position once, zeros after the last; sums before a chunk don't see it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts.chunks import cut, joined, sums_before


@pytest.mark.parametrize(("length", "chunk"), [(7, 3), (6, 3), (2, 5), (1, 1)])
def test_chunks_and_back(length, chunk):
    x = np.random.default_rng(0).normal(size=(2, 4, length, 3)).astype("float32")
    got = cut(mx.array(x), chunk)
    want = np.zeros((2, 4, -(-length // chunk), chunk, 3), "float32")
    for t in range(length):
        want[:, :, t // chunk, t % chunk] = x[:, :, t]
    close(got, want, "exact")
    close(joined(got, length), x, "exact")


def test_sums_before_each_chunk():
    rng = np.random.default_rng(0)
    own, start = rng.normal(size=(2, 3, 5, 4, 6)), rng.normal(size=(2, 3, 4, 6))
    want = np.stack([own[:, :, :c].sum(axis=2) for c in range(5)], axis=2)
    arrays = [mx.array(part.astype("float32")) for part in (own, start)]
    close(sums_before(arrays[0], None), want, "sum_order")
    close(sums_before(*arrays), want + start[:, :, None], "sum_order")


def test_a_heavy_chunk_leaves_no_rounding_before_it():
    own = mx.array([1.0, 1.0, 1e9]).reshape(1, 1, 3, 1, 1)
    close(sums_before(own, None).reshape(3), [0, 1, 2], "exact")
