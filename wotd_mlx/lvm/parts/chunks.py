"""A sequence in chunks: memory then grows with its length, not with the square of it."""

from __future__ import annotations

import mlx.core as mx


def cut(x: mx.array, chunk: int) -> mx.array:
    """(..., L, W) -> (..., L/C, C, W), zeros after the last position."""
    *batch, L, W = x.shape
    padded = mx.pad(x, [(0, 0)] * len(batch) + [(0, -L % chunk), (0, 0)])
    return padded.reshape(*batch, -1, chunk, W)


def joined(x: mx.array, length: int) -> mx.array:
    """(..., L/C, C, W) -> (..., L, W), without what :func:`cut` added."""
    *batch, chunks, chunk, W = x.shape
    return x.reshape(*batch, chunks * chunk, W)[..., :length, :]


def sums_before(own: mx.array, start: mx.array | None) -> mx.array:
    """What stands before each chunk: the start and the sums of earlier chunks; (B, H, L/C, N, W) -> the same shape.

    Not the sums after each chunk less its own: rounding would let a position see a heavy one that comes later.
    """
    before = mx.cumsum(own, axis=2, inclusive=False)
    return before if start is None else before + start[:, :, None]
