"""What each code of each coordinate is about: a name and example words, and what moving along a coordinate changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.config.codes import MAX_CODES
from wotd_mlx.schemas import Attribute

if TYPE_CHECKING:
    import mlx.core as mx

    from wotd_mlx.codes.autoencoder import Autoencoder


NONE = "none"
"""Of a code that reads as no value: nobody knows it of these words."""


class CodeName(NamedTuple):
    """One code: its coordinate's name, its number, its name, words that show it, and how many words bear it."""

    coordinate: str
    code: int
    name: str
    words: tuple[str, ...]
    members: int


def coordinate_names(levels: Sequence[int], attributes: Sequence[Attribute]) -> list[str]:
    """The attributes' names, then ``variation`` (``variation 2`` …) for each coordinate that is free."""
    free = [f"variation {n}" if n > 1 else "variation" for n in range(1, len(levels) - len(attributes) + 1)]
    return [a.name for a in attributes] + free


def name_codes(
    levels: Sequence[int],
    attributes: Sequence[Attribute],
    readings: Sequence[Sequence[str]],
    words: Sequence[str],
    common: NDArray[np.bool_],
    x: Embeddings,
    ids: Indices,
    examples: int = 8,
) -> list[CodeName]:
    """A row for each code of each coordinate, from words with embeddings x (N, D) and ids (N, Q).

    A code's words are those of its members that lie furthest in the direction in which the members' mean departs from
    all words' mean; the first two make its name, behind the value that the code reads as. A coordinate of more than
    ``MAX_CODES`` codes is an address, whose codes have no names.

    Args:
        readings: for each attribute, the value that each code of its coordinate reads as, or nothing.
        common: (N,) words that a reader knows; the others are examples only where there are no more of these.
    """
    mean, rows = x.mean(axis=0), []
    for q, coordinate in enumerate(coordinate_names(levels, attributes)):
        if levels[q] > MAX_CODES:
            continue  # an address
        order = np.argsort(ids[:, q], kind="stable")
        parts = np.split(order, np.searchsorted(ids[order, q], np.arange(1, levels[q])))
        along = _along(x, ids[:, q], levels[q], mean)
        for code, members in enumerate(parts):
            shown = members[common[members]] if common[members].sum() >= examples else members
            shown = shown[np.argsort(-along[shown], kind="stable")]
            texts = tuple(words[row] for row in shown[:examples])
            value = readings[q][code] or (NONE if any(readings[q]) else "") if q < len(attributes) else ""
            name = ": ".join(part for part in (value, "·".join(texts[:2]) or "no word yet") if part)
            rows.append(CodeName(coordinate, code, name, texts, len(members)))
    return rows


def _along(x: Embeddings, codes: Indices, count: int, mean: Embeddings) -> Embeddings:
    """How far each of x (N, D) lies in the direction in which the words with its code, of ``count``, depart from the
    mean."""
    # Products of all rows with all codes copy none of the rows.
    hot = (codes[:, None] == np.arange(count)).astype(np.float32)
    away = hot.T @ x / np.maximum(hot.sum(axis=0), 1)[:, None] - mean
    found: Embeddings = np.take_along_axis(x @ away.T, codes[:, None], axis=1)[:, 0]
    return found


def moves(
    model: Autoencoder, probes: Sequence[Callable[[mx.array], mx.array]], ids: Indices, words: int = 256
) -> NDArray[np.float64]:
    r"""What moving one coordinate changes: (Q, A) the share of attribute a's range that coordinate q runs through.

    For each of the first ``words`` IDs, coordinate q runs through its K codes, but for those of none, while the others
    stay. The decoded vectors' expected value :math:`e_a = \sum_v v\,p_a(v)` is read by ``probes[a]``, which gives
    logits (B, V) for vectors (B, D); the entry is the mean over words of the slope of :math:`e_a` over the codes, times
    :math:`(K - 1)/(V - 1)`. The diagonal should be large, the rest near 0. A coordinate of more than ``MAX_CODES``
    codes is an address, along which nothing changes step by step: its entries are 0.
    """
    import mlx.core as mx

    levels, sample = model.quantizer.levels, ids[:words]
    out = np.zeros((len(levels), len(probes)))
    for q in range(len(levels)):
        table = np.asarray(model.tables[q]) if q < len(model.tables) else np.ones((levels[q], 1))
        # Codes of none lie beyond the values, and are no step from one to the next.
        codes = np.flatnonzero(table.any(axis=1)) if table.any() else np.arange(levels[q])
        k = len(codes)
        if not 1 < k <= MAX_CODES:
            continue
        swept = np.repeat(sample, k, axis=0)
        swept[:, q] = np.tile(codes, len(sample))
        decoded = model.decode(mx.array(swept, mx.int32))
        step = np.arange(k) - (k - 1) / 2
        for a, probe in enumerate(probes):
            shares = mx.softmax(probe(decoded), axis=-1)
            values = shares.shape[-1]
            expected = np.asarray(shares @ mx.arange(values).astype(mx.float32)).reshape(-1, k)
            out[q, a] = (expected @ step / (step @ step)).mean() * (k - 1) / max(values - 1, 1)
    return out
