"""What each code of each coordinate is about: a name and example words, and what moving along a coordinate changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.schemas import Attribute, Word

# Examples are words that a reader knows: below this many uses (log10 a billion words) only where there are no others.
KNOWN = 3.0


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
    model: Autoencoder,
    words: Sequence[Word],
    x: Embeddings,
    ids: Indices,
    attributes: Sequence[Attribute],
    examples: int = 8,
) -> list[CodeName]:
    """A row for each code of each coordinate, from words with embeddings x (N, D) and ids (N, Q).

    A code's words are those of its members that lie furthest in the direction in which the members' mean departs from
    all words' mean; the first two that no other code of the coordinate is named after make its name, behind the value
    that the code reads as.
    """
    known = np.array([word.zipf is None or word.zipf >= KNOWN for word in words])
    mean, rows = x.mean(axis=0), []
    for q, coordinate in enumerate(coordinate_names(model.quantizer.levels, attributes)):
        table = np.asarray(model.tables[q]) if q < len(attributes) else None
        for code in range(model.quantizer.levels[q]):
            members = np.flatnonzero(ids[:, q] == code)
            shown = members[known[members]] if known[members].sum() >= examples else members
            shown = shown[np.argsort(-((x[shown] - mean) @ (x[members].mean(axis=0) - mean)))] if len(shown) else shown
            texts = tuple(words[row].text for row in shown[:examples])
            value = attributes[q].values[int(table[code].argmax())] if table is not None and table.any() else ""
            name = ": ".join(part for part in (value, "·".join(texts[:2]) or "no word yet") if part)
            rows.append(CodeName(coordinate, code, name, texts, len(members)))
    return rows


def moves(
    model: Autoencoder, probes: Sequence[Callable[[mx.array], mx.array]], ids: Indices, words: int = 256
) -> NDArray[np.float64]:
    r"""What moving one coordinate changes: (Q, A) the share of attribute a's range that coordinate q runs through.

    For each of the first ``words`` IDs, coordinate q runs through its K codes while the others stay. The decoded
    vectors' expected value :math:`e_a = \sum_v v\,p_a(v)` is read by ``probes[a]``, which gives logits (B, V) for
    vectors (B, D); the entry is the mean over words of the slope of :math:`e_a` over the codes, times
    :math:`(K - 1)/(V - 1)`. The diagonal should be large, the rest near 0.
    """
    levels, sample = model.quantizer.levels, ids[:words]
    out = np.zeros((len(levels), len(probes)))
    for q, k in enumerate(levels):
        swept = np.repeat(sample, k, axis=0)
        swept[:, q] = np.tile(np.arange(k), len(sample))
        decoded = model.decode(mx.array(swept, mx.int32))
        step = np.arange(k) - (k - 1) / 2
        for a, probe in enumerate(probes):
            shares = mx.softmax(probe(decoded), axis=-1)
            values = shares.shape[-1]
            expected = np.asarray(shares @ mx.arange(values).astype(mx.float32)).reshape(-1, k)
            out[q, a] = (expected @ step / (step @ step)).mean() * (k - 1) / max(values - 1, 1)
    return out
