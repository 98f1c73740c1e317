"""Residual vector quantisation: each level codes what the levels before it left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
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
        z (B, W) -> quantized (B, W), ids (B, Q).
    Reference:
        Zeghidour et al. 2021, arXiv 2107.03312, section III-C; running means from van den Oord et al. 2017,
        arXiv 1711.00937, appendix A.1.
    """

    def __init__(self, levels: Sequence[int], width: int, ema: float = 0.99):
        super().__init__()
        self.levels, self.width, self.ema = tuple(levels), width, ema
        self.books = [mx.random.normal((k, width)) for k in self.levels]
        self.counts = [mx.ones(k) for k in self.levels]
        self.sums = [mx.array(book) for book in self.books]
        self.freeze(keys=["books", "counts", "sums"])

    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        residual, total = z, mx.zeros_like(z)
        ids: list[mx.array] = []
        parts: list[mx.array] = []
        losses: list[mx.array] = []
        for book in self.books:
            ids.append(_nearest(book, residual))
            code = book[ids[-1]]
            losses.append(((residual - code) ** 2).sum(axis=-1).mean())
            parts.append(straight_through(residual, code))
            residual, total = residual - code, total + code
        return Codes(straight_through(z, total), mx.stack(ids, axis=-1), mx.stack(losses).mean()), parts

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        return mx.stack([book[ids[:, q]] for q, book in enumerate(self.books)]).sum(axis=0)

    def codes_to_ids(self, quantized: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        """Greedy search, level after level: quantized (B, W) -> ids (B, Q)."""
        return self.forward_levels(quantized)[0].ids

    def start(self, z: NDArray[np.float32], seed: int, progress: Callable[[int], None] = lambda n: None) -> None:
        """k-means on the residuals of z (N, W), level by level."""
        residual = mx.array(z)
        for q, k in enumerate(self.levels):
            self.books[q] = mx.array(_kmeans(np.asarray(residual), k, seed))
            self.sums[q], self.counts[q] = mx.array(self.books[q]), mx.ones(k)
            residual = residual - self.books[q][_nearest(self.books[q], residual)]

    def learn(self, z: mx.array, ids: mx.array) -> None:
        residual = z
        for q, k in enumerate(self.levels):
            code = self.books[q][ids[:, q]]
            hits = (ids[:, q, None] == mx.arange(k)).astype(z.dtype)
            self.counts[q] = self.ema * self.counts[q] + (1 - self.ema) * hits.sum(axis=0)
            self.sums[q] = self.ema * self.sums[q] + (1 - self.ema) * (hits.T @ residual)
            self.books[q] = self.sums[q] / mx.maximum(self.counts[q], 1e-5)[:, None]
            residual = residual - code

    def restart_dead_codes(self, z: NDArray[np.float32], seed: int) -> int:
        """Dead codes move to random residuals of z (N, W), unless there are too few to fill the codebook."""
        rng = np.random.default_rng(seed)
        residual, revived = mx.array(z), 0
        for q, k in enumerate(self.levels):
            ids = _nearest(self.books[q], residual)
            dead = np.flatnonzero(np.bincount(np.asarray(ids), minlength=k) == 0)
            code = self.books[q][ids]
            if len(z) > k and len(dead):
                rows, dead_rows = mx.array(rng.integers(0, len(z), len(dead))), mx.array(dead)
                self.books[q][dead_rows] = self.sums[q][dead_rows] = residual[rows]
                self.counts[q][dead_rows] = 1.0
                revived += len(dead)
            residual = residual - code
        return revived


def _nearest(book: mx.array, residual: mx.array) -> mx.array:
    """book (K, W), residual (B, W) -> (B,) int32, the nearest code."""
    distances = (book * book).sum(axis=-1) - 2 * residual @ book.T
    return mx.stop_gradient(mx.argmin(distances, axis=-1).astype(mx.int32))


def _kmeans(x: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    """k centroids (k, W) of x (N, W) by Lloyd's algorithm; with fewer vectors than codes some repeat."""
    import faiss

    if len(x) < k:
        x = np.concatenate([x, x[np.random.default_rng(seed).integers(0, len(x), k - len(x))]])
    means = faiss.Kmeans(x.shape[1], k, niter=15, seed=seed, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(x))
    return np.asarray(means.centroids)
