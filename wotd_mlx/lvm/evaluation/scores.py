"""How near predictions come, over all targets and by kinds of article: squared error, cosine, margin over copying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.lvm.data.sentences import Rows, Sentences

Numbers = NDArray[np.float64]

LENGTHS = (25, 50, 100, 200)
"""Article lengths in sentences at which a new bucket begins."""
SIMILARITIES = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Cosines to the nearest training embedding at which a new bucket begins."""


class Figures(NamedTuple):
    """Of M predictions, one by one."""

    error: Numbers
    """(M,) squared error, a mean over D as in torch.nn.MSELoss."""
    cosine: Numbers
    """(M,) to the target."""
    margin: Numbers
    """(M,) the cosine less that to the newest embedding of the context, which a copier would give back."""


def measure(predictions: Embeddings, embeddings: Embeddings, targets: Rows) -> Figures:
    """Predictions (M, D) of the rows ``targets`` of ``embeddings`` (N, D), which are unit vectors."""
    wanted, direction = embeddings[targets], unit(predictions)
    error = ((predictions - wanted) ** 2).mean(axis=1, dtype=np.float64)
    cosine = np.einsum("md,md->m", direction, wanted, dtype=np.float64)
    return Figures(error, cosine, cosine - np.einsum("md,md->m", direction, embeddings[targets - 1], dtype=np.float64))


def summary(figures: Figures) -> dict[str, Any]:
    """The line that a table shows."""
    cosine = figures.cosine
    return {
        "count": len(cosine),
        "mse": _plain(figures.error.mean(), 9),
        "cosine": _plain(cosine.mean()),
        "deviation": _plain(cosine.std()),
        "margin": _plain(figures.margin.mean()),
        "quartiles": [_plain(q) for q in np.quantile(cosine, (0, 0.25, 0.5, 0.75, 1))],
    }


def by_length(figures: Figures, sentences: Sentences, targets: Rows) -> list[dict[str, Any]]:
    """Figures by the number of sentences in a target's article."""
    lengths = np.diff(sentences.starts)[sentences.article[targets]]
    names = [f"{a}–{b - 1}" if a else f"below {b}" for a, b in zip((0, *LENGTHS), LENGTHS, strict=False)]
    return _buckets(figures, np.digitize(lengths, LENGTHS), [*names, f"{LENGTHS[-1]} and more"])


def by_topic(figures: Figures, sentences: Sentences, targets: Rows) -> list[dict[str, Any]]:
    """Figures by topic, the frequent ones first, ``unknown`` at the end."""
    topics = np.array([topic or "unknown" for topic in sentences.topics])[sentences.article[targets]]
    names, group, counts = np.unique(topics, return_inverse=True, return_counts=True)
    found = _buckets(figures, group, names.tolist())
    return [found[n] for n in sorted(range(len(names)), key=lambda n: (names[n] == "unknown", -counts[n]))]


def by_similarity(figures: Figures, similarity: Numbers) -> list[dict[str, Any]]:
    """Figures by the cosine (M,) of each context's newest embedding to the training embedding nearest to it."""
    edges = SIMILARITIES
    names = [f"{a:.1f} to {b:.1f}" if a else f"below {b:.1f}" for a, b in zip((0, *edges), edges, strict=False)]
    return _buckets(figures, np.digitize(similarity, edges), [*names, f"{edges[-1]:.1f} and more"])


def similarity_to_training(embeddings: Embeddings, targets: Rows, training: Rows) -> Numbers:
    """(M,) cosine of the newest embedding before each target to the nearest of the rows ``training``."""
    import faiss

    cosine, _ = faiss.knn(
        np.ascontiguousarray(embeddings[targets - 1]),
        np.ascontiguousarray(embeddings[training]),
        1,
        metric=faiss.METRIC_INNER_PRODUCT,
    )
    return np.asarray(cosine[:, 0], np.float64)


def _buckets(figures: Figures, group: NDArray[np.intp], names: Sequence[str]) -> list[dict[str, Any]]:
    """Those that have a target."""
    found = []
    for n, name in enumerate(names):
        chosen = group == n
        if count := int(chosen.sum()):
            cosine, margin = _plain(figures.cosine[chosen].mean()), _plain(figures.margin[chosen].mean())
            found.append({"bucket": name, "count": count, "cosine": cosine, "margin": margin})
    return found


def _plain(value: Any, digits: int = 6) -> float:
    return round(float(value), digits)
