"""How good codes are: what of a vector survives, whose neighbours stay, how codes are used, what labels they tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors

_PAIRS = 200_000


def relative_mse(x: Vectors, decoded: Vectors, mean: Vectors) -> float:
    """‖x − x̂‖² / ‖x − μ‖², summed over x (N, D), with μ (D,) the training mean: 1 is no better than the mean."""
    return float(((x - decoded) ** 2).sum() / ((x - mean) ** 2).sum())


def cosine(x: Vectors, decoded: Vectors) -> float:
    """Mean cosine between x (N, D) and x̂ (N, D)."""
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(decoded, axis=1)
    return float(((x * decoded).sum(axis=1) / np.maximum(norms, 1e-12)).mean())


def pairwise_spearman(x: Vectors, decoded: Vectors, seed: int = 0) -> float:
    """Spearman's ρ between the cosines of pairs of x (N, D) and of the same pairs of x̂ (N, D)."""
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, len(x), (2, _PAIRS))
    left, right = left[left != right], right[left != right]
    parts = np.array_split(np.stack([left, right]), _PAIRS // 10_000, axis=1)  # all at once would take a gigabyte

    def cosines(rows: Vectors) -> Vectors:
        return np.concatenate([(rows[a] * rows[b]).sum(axis=1) for a, b in parts])

    return spearman(cosines(unit(x)), cosines(unit(decoded)))


def spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's ρ of a (N,) and b (N,), equal values sharing their mean rank; nan where one is constant."""
    if len(a) < 2:
        return float("nan")
    ranks = [_ranks(v) for v in (a, b)]
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def recall_at(x: Vectors, decoded: Vectors, k: int = 10) -> float:
    """Share of each x's k nearest other vectors, by cosine, that are still among the k nearest of x̂, mean over N."""
    k = min(k, len(x) - 1)
    if k < 1:
        return float("nan")
    before, after = neighbours(x, k), neighbours(decoded, k)
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(before, after, strict=True)]))


def neighbours(x: Vectors, k: int) -> Indices:
    """x (N, D) -> the numbers of each one's ``k`` < N nearest others by cosine, (N, k)."""
    import faiss

    rows = unit(x)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    _, found = index.search(rows, k + 1)
    # Equal decoded vectors may push a row's own number out of its list: then the last entry goes.
    own = found == np.arange(len(x))[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(found[~own].reshape(len(x), k))


def unit(x: Vectors) -> Vectors:
    """x (N, D), each row brought to unit length; zeros stay zeros."""
    return np.ascontiguousarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)


def usage_and_perplexity(ids: Indices, levels: Sequence[int]) -> tuple[list[float], list[float]]:
    """ids (N, Q) -> a level: the share of codes used at all, and exp of the entropy of their use (1 … K)."""
    usage, perplexity = [], []
    for q, k in enumerate(levels):
        share = np.bincount(ids[:, q], minlength=k) / max(len(ids), 1)
        used = share[share > 0]
        usage.append(len(used) / k)
        perplexity.append(float(np.exp(-(used * np.log(used)).sum())))
    return usage, perplexity


def collision_rate(ids: Indices) -> float:
    """Share of the N words that have to share their ID (N, Q) with another."""
    _, inverse, counts = np.unique(ids, axis=0, return_inverse=True, return_counts=True)
    return float((counts[inverse.ravel()] > 1).mean())


def balanced_accuracy(predicted: Indices, labels: Indices) -> float:
    """Mean over the values that occur in labels (N,) of the share predicted right; nan where there are none."""
    values = np.unique(labels)
    return float(np.mean([(predicted[labels == v] == v).mean() for v in values])) if len(values) else float("nan")


def own_first(x: Vectors, decoded: Vectors, rows: Indices) -> float:
    """The share of some rows (M,) of x (N, D), of unit length, that are the nearest, in cosine, to their x̂ (M, D)."""
    import faiss

    index = faiss.IndexFlatIP(x.shape[1])
    index.add(np.ascontiguousarray(x))
    _, nearest = index.search(np.ascontiguousarray(unit(decoded)), 1)
    # Equal rows are one and the same word to whoever has vectors alone.
    return float((x[nearest[:, 0]] == x[rows]).all(axis=1).mean())


class Bin(NamedTuple):
    """Predictions of like probability: how many, their mean probability, the share that is right."""

    words: int
    probability: float
    right: float


def reliability(probability: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """probability (N,) of what was predicted and whether it is right (N,) -> the bins of equal width that have any."""
    number = np.minimum((probability * bins).astype(np.int64), bins - 1)
    return [
        Bin(int(inside.sum()), float(probability[inside].mean()), float(right[inside].mean()))
        for b in range(bins)
        if (inside := number == b).any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    r"""Mean over predictions of their bin's :math:`|\mathrm{right} - \mathrm{probability}|`; nan where there are none.

    Reference:
        Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602.
    """
    words = sum(b.words for b in bins)
    return sum(b.words * abs(b.right - b.probability) for b in bins) / words if words else float("nan")
