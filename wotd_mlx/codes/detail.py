"""A residual code of any number of bits, alone or beyond a semantic ID: for when most of a vector must survive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
from wotd_mlx.codes.search import smallest
from wotd_mlx.schemas import Codes, WotdError

_CANDIDATES = 2048
"""Candidates searched at once, beam times vectors: a level's scores for them are two megabytes."""

_SWEEPS = 2
"""Sweeps of each refit over the levels: more of them than passes would only fit codes to IDs that will change."""

_ROUNDS = 1
"""How often each number is chosen once more, given the others, after the search: a second time changes hardly any."""

_PASSES = 20
"""Passes of the fit, each with a greedy search: beams took longer and gave no better codes; 8 make 1.5 % more error."""

_WEIGHT = 15.0
"""Vectors of zero that every code is averaged with: with 3 the codes overfit, with 40 they are slow to arrive."""


class Detail(Quantizer):
    r"""A vector as the sum of one code from each of Q codebooks, which were fitted together.

    .. math::
        \hat r = \sum_q e_{q,k_q}, \quad k \approx \arg\min_k \Bigl\lVert r - \sum_q e_{q,k_q} \Bigr\rVert^2

    k is found by a search of the levels in turn that keeps a beam, and then each number is chosen once more, given the
    others.

    Few bits pull every vector towards the mean, most of all along the axes of small variance, so that coded vectors lie
    nearer to the truth than each other: against a whole vector they keep likeness, and their own neighbours. Where two
    coded ones are compared, :class:`wotd_mlx.codes.binary.Binary` keeps more.

    Args:
        levels: codes in each level, 2 or more; see :func:`wotd_mlx.config.codes.byte_levels`.
        width: W.
        beam: candidates kept at each level of encoding; 1 is greedy.
    Shape:
        r (B, W) -> ids (B, Q) int32 -> r̂ (B, W).
    Raises:
        WotdError: a level of fewer than 2 codes, a width or beam below 1.
    Reference:
        Beam search and the joint least-squares fit are those of additive quantisation: Babenko and Lempitsky, CVPR
        2014; choosing numbers again is the local search of Martinez et al., ECCV 2018 (LSQ++), without its chance.
        Here the fit is regularised, because a code has 100 vectors to learn 384 numbers from.
    """

    learns = False
    whole = True

    def __init__(self, levels: Sequence[int], width: int, *, beam: int = 8):
        super().__init__()
        if not levels or min(levels) < 2 or width < 1 or beam < 1:
            raise WotdError(
                f"a detail of levels {list(levels)}, width {width} and beam {beam} is not possible; "
                "each level needs 2 codes or more, the others 1 or more"
            )
        self.levels, self.width, self.beam = tuple(levels), width, beam
        self.books = [mx.zeros((k, width)) for k in self.levels]
        # By name: freezing all would leave `books` as a list of empty mappings, which no optimiser takes.
        self.freeze(recurse=False, keys=["books"])

    def encode(self, r: mx.array) -> mx.array:
        """r (B, W) -> ids (B, Q) int32, in memory that does not grow with B.

        Raises:
            WotdError: r is not (B, W), or a row has a number that is not finite.
        """
        self._check(r.shape, np.asarray(mx.isfinite(r.sum(axis=-1))))
        return self._encode(r, self.beam)

    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        ids = self.codes_to_ids(z)
        return Codes(straight_through(z, self.ids_to_codes(ids)), ids, mx.array(0.0)), []

    def codes_to_ids(self, vectors: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        return self._encode(vectors, self.beam)

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        total = self.books[0][ids[:, 0]]
        for q in range(1, len(self.levels)):
            total = total + self.books[q][ids[:, q]]
        return total

    def stages(self, rows: int) -> int:
        return len(self.levels) + _PASSES

    def start(self, z: Vectors, seed: int, progress: Callable[[int], None] = lambda n: None) -> None:
        """Find the codebooks for vectors such as z (N, W), centred.

        Starts from k-means, a level on what the levels before it leave over. Then, in turn, encodes all vectors and
        solves for the codes that bring the sums closest to them. Where z is what a dictionary leaves of the vectors
        that it was built from, leave each vector's own entry out, or all is zero.

        Args:
            progress: called with 1 after each of :meth:`stages` steps.
        Raises:
            WotdError: z is not (N, W) with N ≥ 1, or a row has a number that is not finite.
        """
        self._check(z.shape, np.asarray(np.isfinite(z.sum(axis=-1))))
        if not len(z):
            raise WotdError("a detail can't be fitted to no vectors at all; give it one or more")
        z = np.asarray(z, np.float32)
        self._k_means(z, seed, progress)
        for _ in range(_PASSES):
            self._refit(z, np.asarray(self._encode(mx.array(z), beam=1)))
            progress(1)
        mx.eval(self.parameters())

    def _check(self, shape: tuple[int, ...], finite: NDArray[Any]) -> None:
        if len(shape) != 2 or shape[1] != self.width:
            raise WotdError(f"vectors of shape {tuple(shape)} don't fit this detail; it takes (N, {self.width})")
        if not finite.all():
            raise WotdError(f"row {int(np.argmin(finite))} has a number that is not finite; leave that vector out")

    def _encode(self, r: mx.array, beam: int) -> mx.array:
        parts = []
        rows = max(1, _CANDIDATES // beam)
        if 0 < len(r) <= rows:
            return self.search(r, beam)
        for start in range(0, len(r), rows):
            parts.append(self.search(r[start : start + rows], beam))
            mx.eval(parts[-1])
        return mx.concatenate(parts) if parts else mx.zeros((0, len(self.levels)), mx.int32)

    def search(self, r: mx.array, beam: int) -> mx.array:
        """:meth:`encode` in one pass over all of r (B, W), unchecked."""
        # Of each of L candidates: what it leaves over (B, L, W), the square of that less ‖r‖², and its ids so far.
        left, cost = r[:, None], mx.zeros((len(r), 1))
        so_far: list[mx.array] = []
        for k, book in zip(self.levels, self.books, strict=True):
            norm = (book * book).sum(axis=1)
            scores = (cost[..., None] + (norm - 2 * (left @ book.T))).reshape(len(r), -1)
            best = smallest(scores, beam)
            parent, code = best // k, best % k
            left = mx.take_along_axis(left, parent[..., None], axis=1) - book[code]
            cost = mx.take_along_axis(scores, best, axis=1)
            before = [mx.take_along_axis(ids, parent[..., None], axis=1) for ids in so_far]
            so_far = [mx.concatenate([*before, code[..., None]], axis=2)]
        ids = mx.take_along_axis(so_far[0], mx.argmin(cost, axis=1)[:, None, None], axis=1)[:, 0]
        return self._chosen_again(r, ids)

    def _chosen_again(self, r: mx.array, ids: mx.array) -> mx.array:
        """ids (B, Q) with each number, from the first level on, the best for r (B, W) given all others."""
        columns = [ids[:, q] for q in range(len(self.levels))]
        left = r - self.ids_to_codes(ids)
        for _ in range(_ROUNDS):
            for q, book in enumerate(self.books):
                left = left + book[columns[q]]
                columns[q] = mx.argmin((book * book).sum(axis=1) - 2 * (left @ book.T), axis=1).astype(mx.int32)
                left = left - book[columns[q]]
        return mx.stack(columns, axis=1)

    def _k_means(self, z: Vectors, seed: int, progress: Callable[[int], None]) -> None:
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

        .. math:: e_{q,k} = \Bigl(15 + |S|\Bigr)^{-1} \sum_{n \in S} \Bigl(z_n - \sum_{p \ne q} e_{p,k_{np}}\Bigr),
            \quad S = \{n : k_{nq} = k\}

        Each is what the vectors that chose it have left over, as if fifteen with nothing left over had chosen it too.
        This descends on one least-squares problem over all codes, whose matrix would take seconds to factor.
        """
        left = z - np.asarray(self.ids_to_codes(mx.array(ids)))
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
