"""The few best of many scores."""

from __future__ import annotations

import mlx.core as mx

# Scores to a block: the n smallest lie in the n blocks of the smallest minima, which spares partitioning a long row.
BLOCK = 16


def smallest(scores: mx.array, n: int) -> mx.array:
    """scores (B, M) -> where the n smallest of each row are, (B, min(n, M)) int32, in any order."""
    rows, M = scores.shape
    blocks = M // BLOCK
    if n >= M:
        return mx.broadcast_to(mx.arange(M, dtype=mx.int32), scores.shape)
    if n == 1:
        return mx.argmin(scores, axis=1, keepdims=True).astype(mx.int32)
    if n >= blocks:
        return mx.argpartition(scores, n - 1, axis=1)[:, :n].astype(mx.int32)
    # Block b holds b, b + blocks, b + 2 blocks …: so the minima run along contiguous memory.
    lowest = scores[:, : blocks * BLOCK].reshape(rows, BLOCK, blocks).min(axis=1)
    chosen = mx.argpartition(lowest, n - 1, axis=1)[:, :n]
    members = (chosen[..., None] + mx.arange(BLOCK) * blocks).reshape(rows, -1)
    if rest := M - blocks * BLOCK:
        members = mx.concatenate([members, mx.broadcast_to(mx.arange(M - rest, M), (rows, rest))], axis=1)
    among = mx.argpartition(mx.take_along_axis(scores, members, axis=1), n - 1, axis=1)[:, :n]
    return mx.take_along_axis(members, among, axis=1).astype(mx.int32)
