"""What a text looks like: the embedding of its letters alone, and how many word pieces it is of how common a kind."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Vectors

PIECE_NUMBERS = 5
_AT_ONCE = 4096


def form_width(dims: int) -> int:
    """F, the width of the form of a text that is embedded D wide."""
    return dims + PIECE_NUMBERS


def form_of(embeddings: mx.array, pieces: mx.array) -> mx.array:
    """Texts' embeddings (N, D), by no dictionary, and the numbers of their pieces (N, 5) -> their form (N, F)."""
    return mx.concatenate([embeddings, pieces], axis=1)


def numbers_of(token_ids: Sequence[Sequence[int]]) -> Vectors:
    """:func:`piece_numbers` of N texts by the tokens of each, with a mark at either end -> (N, 5)."""
    # Texts of like length together: few are long.
    out = np.zeros((len(token_ids), PIECE_NUMBERS), np.float32)
    order = sorted(range(len(token_ids)), key=lambda row: len(token_ids[row]))
    for start in range(0, len(order), _AT_ONCE):
        rows = order[start : start + _AT_ONCE]
        ids = np.zeros((len(rows), max(len(token_ids[row]) for row in rows)), np.int32)
        mask = np.zeros(ids.shape, np.float32)
        for i, row in enumerate(rows):
            ids[i, : len(token_ids[row])], mask[i, : len(token_ids[row])] = token_ids[row], 1
        out[rows] = np.asarray(piece_numbers(mx.array(ids), mx.array(mask)))
    return out


def piece_numbers(token_ids: mx.array, mask: mx.array) -> mx.array:
    r"""Tokens (B, L) with a mark at either end, and which of them count (B, L) -> five numbers of the pieces (B, 5).

    They are :math:`\log(1 + n)` of n pieces, and of :math:`\log(1 + \mathrm{id})` the first, the mean, the greatest and
    the least: a WordPiece vocabulary runs from frequent to rare, which tells rare words and learned endings apart.
    """
    mask = mask.astype(mx.float32)
    place = mx.arange(mask.shape[1])[None]
    inner = mask * (place > 0) * (place < mask.sum(axis=1, keepdims=True) - 1)
    rank = mx.log1p(token_ids.astype(mx.float32)) * inner
    count = inner.sum(axis=1)
    greatest = rank.max(axis=1)
    least = greatest - ((greatest[:, None] - rank) * inner).max(axis=1)
    first = (rank * (place == 1)).sum(axis=1)
    return mx.stack([mx.log1p(count), first, rank.sum(axis=1) / mx.maximum(count, 1), greatest, least], axis=1)
