"""Detail beyond a semantic ID: a residual code of any number of bits, for when more of the vector must survive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.search import smallest
from wotd_mlx.schemas import WotdError

LEVEL_BITS = 8
MAX_BITS = 1024

_CANDIDATES = 2048
"""Candidates searched at once, beam times vectors: a level's scores for them are two megabytes."""

_SWEEPS = 2
"""Sweeps of each refit over the levels: more of them than passes would only fit codes to IDs that will change."""

_PASSES = 8
"""Passes of the fit, each with a greedy search: beams took longer and gave no better codes on words (123 bits)."""

_WEIGHT = 10.0
"""Vectors of zero that every code is averaged with: with 3 the codes overfit, with 40 they are slow to arrive."""


def detail_levels(bits: int) -> tuple[int, ...]:
    """Codes in each level, so that all levels together take exactly ``bits`` bits: 256 each, the rest in the last.

    Raises:
        WotdError: fewer than 1 or more than 1,024 bits.
    """
    if not 1 <= bits <= MAX_BITS:
        raise WotdError(f"a detail of {bits} bits is not possible; choose 1 to {MAX_BITS}")
    rest = bits % LEVEL_BITS
    return (1 << LEVEL_BITS,) * (bits // LEVEL_BITS) + ((1 << rest,) if rest else ())


class Detail(nn.Module):
    r"""A vector as the sum of one code from each of Q codebooks, which were fitted together.

    .. math::
        \hat r = \Bigl(\sum_q e_{q,k_q}\Bigr) B, \quad
        k \approx \arg\min_k \Bigl\lVert r A - \sum_q e_{q,k_q} \Bigr\rVert^2, \quad
        A = (\Sigma + \bar\sigma I / 10)^{-\mathrm{whiten}/2}, \quad
        B = G^{-\mathrm{sharpen}} A^{-1}

    with :math:`\Sigma` the covariance of what was fitted to, and :math:`\bar\sigma` its mean eigenvalue. :math:`G`
    says how much each of its axes shrinks in coding: few bits pull every vector towards the mean, most of all along
    the axes of small variance, which tell near neighbours apart.

    With a whole vector on one side and a coded one on the other, ``whiten=0.5, sharpen=1`` keep people's ranking of
    similar sentences best; 0 and 0 keep distances and neighbours best. They cost no bits.

    Args:
        levels: codes in each level, 2 or more; see :func:`detail_levels`.
        width: W.
        whiten: 0 for the space as it is, 1 for equal importance of all its axes.
        sharpen: how much of the shrinkage decoding undoes, 0 to 1.
        beam: candidates kept at each level of encoding; 1 is greedy.
    Shape:
        r (B, W) -> ids (B, Q) int32 -> r̂ (B, W).
    Raises:
        WotdError: a level of fewer than 2 codes, a width or beam below 1.
    Reference:
        Beam search and the joint least-squares fit are those of additive quantisation: Babenko and Lempitsky, CVPR
        2014; Martinez et al., ECCV 2018 (LSQ++). Here the fit is regularised, because a code has 100 vectors to
        learn 384 numbers from.
    """

    def __init__(self, levels: Sequence[int], width: int, *, whiten: float = 0.0, sharpen: float = 0.0, beam: int = 8):
        super().__init__()
        if not levels or min(levels) < 2 or width < 1 or beam < 1:
            raise WotdError(
                f"a detail of levels {list(levels)}, width {width} and beam {beam} is not possible; "
                "each level needs 2 codes or more, the others 1 or more"
            )
        self.levels, self.width, self.beam = tuple(levels), width, beam
        self.whiten, self.sharpen = whiten, sharpen
        self.books = [mx.zeros((k, width)) for k in self.levels]
        self.into, self.back = mx.eye(width), mx.eye(width)
        # By name: freezing all would leave `books` as a list of empty mappings, which no optimiser takes.
        self.freeze(recurse=False, keys=["books", "into", "back"])

    def encode(self, r: mx.array) -> mx.array:
        """r (B, W) -> ids (B, Q) int32, in memory that does not grow with B.

        Raises:
            WotdError: r is not (B, W), or a row has a number that is not finite.
        """
        self._check(r.shape, np.asarray(mx.isfinite(r.sum(axis=-1))))
        return self._encode(r, self.beam)

    def decode(self, ids: mx.array) -> mx.array:
        """ids (B, Q) -> r̂ (B, W)."""
        return self._sum(ids) @ self.back

    def fit(self, residuals: Vectors, seed: int = 0, progress: Callable[[int], None] = lambda n: None) -> None:
        """Find the codebooks for vectors such as residuals (N, W), centred.

        Starts from k-means, a level on what the levels before it leave over. Then, in turn, encodes all vectors and
        solves for the codes that bring the sums closest to them. Where the residuals are those of a dictionary that
        was built from the same vectors, leave each vector's own entry out, or they are all zero.

        Args:
            progress: called with 1 after each of ``fit_steps`` steps.
        Raises:
            WotdError: residuals are not (N, W) with N ≥ 1, or a row has a number that is not finite.
        """
        self._check(residuals.shape, np.asarray(np.isfinite(residuals.sum(axis=-1))))
        if not len(residuals):
            raise WotdError("a detail can't be fitted to no vectors at all; give it one or more")
        r = np.asarray(residuals, np.float32)
        variances, axes = np.linalg.eigh((r.T @ r / len(r)).astype(np.float64))
        stretch = (np.maximum(variances, 0) + 0.1 * max(float(variances.mean()), 1e-12)) ** (-self.whiten / 2)
        self.into = mx.array((axes * stretch) @ axes.T, mx.float32)
        z = np.array(mx.array(r) @ self.into)
        self._start(z, seed, progress)
        for _ in range(_PASSES):
            self._refit(z, np.asarray(self._encode(mx.array(r), beam=1)))
            progress(1)
        gain = self._gain(r[:: len(r) // 4096 + 1], axes)
        self.back = mx.array((axes / (stretch * gain**self.sharpen)) @ axes.T, mx.float32)
        mx.eval(self.parameters())

    @property
    def fit_steps(self) -> int:
        """Calls of ``progress`` in one :meth:`fit`."""
        return len(self.levels) + _PASSES

    def _check(self, shape: tuple[int, ...], finite: NDArray[Any]) -> None:
        if len(shape) != 2 or shape[1] != self.width:
            raise WotdError(f"vectors of shape {tuple(shape)} don't fit this detail; it takes (N, {self.width})")
        if not finite.all():
            raise WotdError(f"row {int(np.argmin(finite))} has a number that is not finite; leave that vector out")

    def _sum(self, ids: mx.array) -> mx.array:
        """ids (B, Q) -> the sums of their codes (B, W)."""
        total = self.books[0][ids[:, 0]]
        for q in range(1, len(self.levels)):
            total = total + self.books[q][ids[:, q]]
        return total

    def _encode(self, r: mx.array, beam: int) -> mx.array:
        parts = []
        rows = max(1, _CANDIDATES // beam)
        for start in range(0, len(r), rows):
            parts.append(self(r[start : start + rows], beam))
            mx.eval(parts[-1])
        return mx.concatenate(parts) if parts else mx.zeros((0, len(self.levels)), mx.int32)

    def __call__(self, r: mx.array, beam: int | None = None) -> mx.array:
        """:meth:`encode` in one pass over all of r (B, W), unchecked: what an export traces."""
        # Of each of L candidates: what it leaves over (B, L, W), the square of that less ‖z‖², and its ids so far.
        z, beam = r @ self.into, beam or self.beam
        left, cost = z[:, None], mx.zeros((len(z), 1))
        so_far: list[mx.array] = []
        for k, book in zip(self.levels, self.books, strict=True):
            norm = (book * book).sum(axis=1)
            scores = (cost[..., None] + (norm - 2 * (left @ book.T))).reshape(len(z), -1)
            best = smallest(scores, beam)
            parent, code = best // k, best % k
            left = mx.take_along_axis(left, parent[..., None], axis=1) - book[code]
            cost = mx.take_along_axis(scores, best, axis=1)
            before = [mx.take_along_axis(ids, parent[..., None], axis=1) for ids in so_far]
            so_far = [mx.concatenate([*before, code[..., None]], axis=2)]
        return mx.take_along_axis(so_far[0], mx.argmin(cost, axis=1)[:, None, None], axis=1)[:, 0]

    def _start(self, z: Vectors, seed: int, progress: Callable[[int], None]) -> None:
        """Codebooks by k-means, each on what the ones before it leave of z (N, W)."""
        import faiss

        left = z
        for q, k in enumerate(self.levels):
            # k-means wants as many vectors as codes; some codes are then the same.
            sample = left if len(left) >= k else np.resize(left, (k, self.width))
            means = faiss.Kmeans(
                self.width, k, niter=6, seed=seed + q, min_points_per_centroid=1, max_points_per_centroid=100
            )
            means.train(np.ascontiguousarray(sample))
            book = np.asarray(means.centroids)
            self.books[q] = mx.array(book)
            _, nearest = means.index.search(np.ascontiguousarray(left), 1)
            left = left - book[nearest[:, 0]]
            progress(1)

    def _refit(self, z: Vectors, ids: Indices) -> None:
        r"""Codes whose sums come closest to z (N, W), as ids (N, Q) add them up; two sweeps over the levels.

        .. math:: e_{q,k} = \Bigl(10 + |S|\Bigr)^{-1} \sum_{n \in S} \Bigl(z_n - \sum_{p \ne q} e_{p,k_{np}}\Bigr),
            \quad S = \{n : k_{nq} = k\}

        Each is what the vectors that chose it have left over, as if ten with nothing left over had chosen it too.
        This descends on one least-squares problem over all codes, whose matrix would take seconds to factor.
        """
        left = z - np.asarray(self._sum(mx.array(ids)))
        orders = [np.argsort(ids[:, q], kind="stable") for q in range(len(self.levels))]
        for _ in range(_SWEEPS):
            for q, (k, order) in enumerate(zip(self.levels, orders, strict=True)):
                chosen = ids[:, q]
                left += np.asarray(self.books[q])[chosen]
                used, starts, counts = np.unique(chosen[order], return_index=True, return_counts=True)
                book = np.zeros((k, self.width), np.float32)
                book[used] = np.add.reduceat(left[order], starts, axis=0) / (counts + _WEIGHT)[:, None]
                left -= book[chosen]
                self.books[q] = mx.array(book)

    def _gain(self, r: Vectors, axes: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much of r (N, W) is left along each of ``axes`` (W, W, a column an axis) after coding, 0.05 to 1."""
        z = mx.array(r) @ self.into
        coded = np.asarray(self._sum(self._encode(mx.array(r), self.beam)))
        along, whole = (coded @ axes), (np.asarray(z) @ axes)
        share = (along * whole).sum(axis=0) / np.maximum((whole * whole).sum(axis=0), 1e-12)
        return np.asarray(np.clip(share, 0.05, 1.0))
