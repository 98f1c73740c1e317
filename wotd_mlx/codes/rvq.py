"""Residual vector quantisation: each level codes what the levels before it left over."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.codes.base import Quantizer, straight_through
from wotd_mlx.schemas import Codes


class RVQ(Quantizer):
    r"""Q codebooks; level q takes the nearest code to the residual :math:`r_q`.

    .. math:: r_0 = z, \quad k_q = \arg\min_k \lVert r_q - e_{q,k} \rVert^2, \quad r_{q+1} = r_q - e_{q,k_q}

    Codebooks start from k-means on the residuals, follow a running mean of the vectors that chose them, and a code
    that none chooses moves to the residual of a random vector.

    Args:
        levels: K of each level.
        width: W of the latents.
        ema: share of the running mean that stays at each step.
    Shape:
        z (B, W) -> vectors (B, W), ids (B, Q).
    Reference:
        Zeghidour et al. 2021, arXiv 2107.03312, section III-C; running means from van den Oord et al. 2017,
        arXiv 1711.00937, appendix A.1.
    """

    def __init__(self, levels: Sequence[int], width: int, ema: float = 0.99):
        super().__init__()
        self.levels, self.width, self.ema = tuple(levels), width, ema
        shapes = [(self.parents(q), k) for q, k in enumerate(self.levels)]
        self.books = [mx.random.normal((p, k, width)) for p, k in shapes]
        self.counts = [mx.ones(shape) for shape in shapes]
        self.sums = [mx.array(book) for book in self.books]
        self.freeze(keys=["books", "counts", "sums"])

    def parents(self, level: int) -> int:
        """How many codebooks a level has: here one, whatever was chosen before."""
        return 1

    def parent(self, ids: list[mx.array]) -> mx.array | None:
        """Which codebook (B,) the next level uses after the ids chosen so far; None where it has only one."""
        return None

    def trace(self, z: mx.array) -> tuple[Codes, list[mx.array]]:
        residual, total = z, mx.zeros_like(z)
        ids: list[mx.array] = []
        parts: list[mx.array] = []
        losses: list[mx.array] = []
        for q in range(len(self.levels)):
            parent = self.parent(ids)
            ids.append(self._nearest(q, residual, parent))
            code = self._code(q, ids[q], parent)
            losses.append(((residual - code) ** 2).sum(axis=-1).mean())
            parts.append(straight_through(residual, code))
            residual, total = residual - code, total + code
        codes = Codes(straight_through(z, total), mx.stack(ids, axis=-1), mx.stack(losses).mean())
        return codes, parts

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        chosen = [ids[:, q] for q in range(len(self.levels))]
        return mx.stack([self._code(q, k, self.parent(chosen[:q])) for q, k in enumerate(chosen)]).sum(axis=0)

    def codes_to_ids(self, vectors: mx.array) -> mx.array:
        """Greedy search, level after level: vectors (B, W) -> ids (B, Q)."""
        return self.trace(vectors)[0].ids

    def start(self, z: NDArray[np.float32], seed: int) -> None:
        """k-means on the residuals of z (N, W), level by level; a codebook that few vectors reach learns from all."""
        residual = np.ascontiguousarray(z)
        ids: list[mx.array] = []
        for q, k in enumerate(self.levels):
            parent = self.parent(ids)
            group = np.zeros(len(z), np.int64) if parent is None else np.asarray(parent)
            book = [
                _kmeans(residual[group == p] if (group == p).sum() >= k else residual, k, seed)
                for p in range(self.parents(q))
            ]
            self.books[q] = mx.array(np.stack(book))
            ids.append(self._nearest(q, mx.array(residual), parent))
            residual = residual - np.asarray(self._code(q, ids[q], parent))
            self.counts[q] = mx.ones(self.counts[q].shape)
            self.sums[q] = mx.array(self.books[q])

    def learn(self, z: mx.array, ids: mx.array) -> None:
        residual = z
        for q, k in enumerate(self.levels):
            chosen = [ids[:, i] for i in range(q + 1)]
            parent = self.parent(chosen[:q])
            cell = chosen[q] if parent is None else parent * k + chosen[q]
            code = self._code(q, chosen[q], parent)
            P, K, W = self.books[q].shape
            hits = (cell[:, None] == mx.arange(P * K)).astype(z.dtype)
            self.counts[q] = self.ema * self.counts[q] + (1 - self.ema) * hits.sum(axis=0).reshape(P, K)
            self.sums[q] = self.ema * self.sums[q] + (1 - self.ema) * (hits.T @ residual).reshape(P, K, W)
            self.books[q] = self.sums[q] / mx.maximum(self.counts[q], 1e-5)[..., None]
            residual = residual - code

    def revive(self, z: NDArray[np.float32], seed: int) -> int:
        """Dead codes, of codebooks that are reached at all, move to random residuals of z (N, W)."""
        rng = np.random.default_rng(seed)
        residual, ids, revived = z, list[mx.array](), 0
        for q, k in enumerate(self.levels):
            parent = self.parent(ids)
            group = np.zeros(len(z), np.int64) if parent is None else np.asarray(parent)
            ids.append(self._nearest(q, mx.array(residual), parent))
            used = np.zeros((self.parents(q), k), np.int64)
            np.add.at(used, (group, np.asarray(ids[q])), 1)
            book = np.array(self.books[q])
            dead = np.argwhere((used == 0) & (used.sum(axis=1, keepdims=True) > k))
            for p, code in dead:
                book[p, code] = residual[rng.choice(np.flatnonzero(group == p))]
            if len(dead):
                self._replace(q, dead, book)
            revived += len(dead)
            residual = residual - np.asarray(self._code(q, ids[q], parent))
        return revived

    def _replace(self, q: int, dead: NDArray[np.int64], book: NDArray[np.float32]) -> None:
        counts, sums = np.array(self.counts[q]), np.array(self.sums[q])
        counts[dead[:, 0], dead[:, 1]] = 1.0
        sums[dead[:, 0], dead[:, 1]] = book[dead[:, 0], dead[:, 1]]
        self.books[q], self.counts[q], self.sums[q] = mx.array(book), mx.array(counts), mx.array(sums)

    def _code(self, q: int, k: mx.array, parent: mx.array | None) -> mx.array:
        return self.books[q][0 if parent is None else parent, k]

    def _nearest(self, q: int, residual: mx.array, parent: mx.array | None) -> mx.array:
        """residual (B, W) -> (B,) the nearest code of the codebook that ``parent`` (B,) names."""
        book = self.books[q]
        norms = (book * book).sum(axis=-1)
        if parent is None:
            distances = norms[0] - 2 * residual @ book[0].T
        else:
            distances = norms[parent] - 2 * (book[parent] @ residual[..., None])[..., 0]
        return mx.stop_gradient(mx.argmin(distances, axis=-1).astype(mx.int32))


def _kmeans(x: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    """k centroids (k, W) of x (N, W) by Lloyd's algorithm; with fewer vectors than codes some repeat."""
    import faiss

    if len(x) < k:
        x = np.concatenate([x, x[np.random.default_rng(seed).integers(0, len(x), k - len(x))]])
    means = faiss.Kmeans(x.shape[1], k, niter=15, seed=seed, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(x))
    return np.asarray(means.centroids)
