"""How far up the right sentence stands among all, and whose topic the sentence at the top has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.lvm.data.sentences import Rows, Sentences
from wotd_mlx.lvm.parts.residual import NEWEST

TOP = (1, 5, 10, 20)
_SCORES = 1 << 24
"""Maximum number of cosines held at once: 64 MB."""
_EQUAL = 1e-6
"""Cosines nearer than this are a tie: so much do two sums of the same 384 or 768 products differ in fp32."""
_NEVER = -2.0


class Ranks(NamedTuple):
    """Where the M right sentences stand, 1 the best; a tie counts half a rank."""

    context: NDArray[np.float64]
    """(M,) with all rows of the context left out."""
    newest: NDArray[np.float64]
    """(M,) with the newest five left out."""
    nearest: Rows
    """(M,) the candidate nearest to the prediction, the context left out."""


def rank(
    predictions: Embeddings,
    sentences: Sentences,
    embeddings: Embeddings,
    targets: Rows,
    context: int,
    scores: int = _SCORES,
) -> Ranks:
    """Rank each target among all N rows by cosine to its prediction, in blocks of predictions.

    Args:
        predictions: (M, D) for the M rows ``targets``.
        context: rows before a target that are no candidates in ``Ranks.context``.
        scores: most cosines held at once.
    """
    M, N = len(targets), len(embeddings)
    found = Ranks(np.empty(M), np.empty(M), np.empty(M, np.int64))
    # The smaller exclusion is counted first: what it hid stays hidden in the larger one.
    protocols = sorted(((context, found.context), (NEWEST, found.newest)), key=lambda pair: pair[0])
    size = max(1, min(M, scores // N))
    for start in range(0, M, size):
        block = targets[start : start + size]
        here = np.arange(len(block))
        cosines = unit(predictions[start : start + size]) @ embeddings.T
        wanted = cosines[here, block]
        for hidden, ranks in protocols:
            count = np.minimum(hidden, sentences.position[block])
            for k in range(1, int(count.max(initial=0)) + 1):
                rows = here[count >= k]
                cosines[rows, block[rows] - k] = _NEVER
            above = np.count_nonzero(cosines > (wanted + _EQUAL)[:, None], axis=1)
            level = np.count_nonzero(cosines >= (wanted - _EQUAL)[:, None], axis=1)
            # The target is level with itself.
            ranks[start : start + size] = 1 + above + (level - above - 1) / 2
            if ranks is found.context:
                found.nearest[start : start + size] = cosines.argmax(axis=1)
    return found


def summary(ranks: NDArray[np.float64]) -> dict[str, float]:
    """Shares of targets among the best k, and the mean reciprocal rank."""
    shares = {f"top{k}": round(float((ranks <= k).mean()), 6) for k in TOP}
    return {**shares, "mean_reciprocal_rank": round(float((1 / ranks).mean()), 6)}


def confusion(wanted: Sequence[str], got: Sequence[str]) -> dict[str, Any]:
    """Topics of targets against topics of what was retrieved instead: shares of a topic's targets, a row a topic.

    Unknown topics (empty) are left out: their targets have no row, and a row whose retrievals had none adds up to
    less than 1.
    """
    topics = sorted(({*wanted} | {*got}) - {""}) if any(wanted) else []
    number = {topic: n for n, topic in enumerate(topics)}
    counts, totals = np.zeros((len(topics), len(topics))), np.zeros(len(topics))
    for a, b in zip(wanted, got, strict=True):
        if a:
            totals[number[a]] += 1
            if b:
                counts[number[a], number[b]] += 1
    shares = counts / np.maximum(totals, 1)[:, None]
    return {"topics": topics, "matrix": np.round(shares, 6).tolist()}
