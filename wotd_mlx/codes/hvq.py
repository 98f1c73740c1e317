"""Hierarchical vector quantisation: the ID's numbers are a path through a dictionary of words, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
from wotd_mlx.codes.grid import allocate, lay_out, match, nearest_filled
from wotd_mlx.codes.metrics import balanced_accuracy
from wotd_mlx.codes.reader import Reader
from wotd_mlx.codes.search import smallest
from wotd_mlx.schemas import Codes

# α₀, α, β. Least squares on unseen words gives (0.83, 0.46, 0.33), 2 % less error, and 0.015 less rank correlation of
# distances: longer vectors tell them better.
MIX = (0.8, 0.55, 0.35)
# How many entries are tried with all their children: those that are nearest alone.
CANDIDATES = 8
# Neighbours that an entry leans to, at most: a last coordinate of 2,048 codes would make a graph of gigabytes, and what
# lies behind the first few dozens is no neighbour any more.
MAX_CHILDREN = 32
# Steps towards settled means and label weights.
ROUNDS = 12
# From so many labelled words on, the share that a coordinate keeps is measured as well as expected.
ENOUGH = 100
# Rows searched at once: scores of 26,000 entries for 256 rows take 27 MB.
ROWS = 256


@dataclass(frozen=True)
class _Entries:
    """The dictionary while it is being made: latents (N, W), values (N, A), and the scores that order them."""

    atoms: Vectors
    values: Indices
    scores: NDArray[np.float64]


class HVQ(Quantizer):
    r"""A dictionary laid out on the grid of IDs: all numbers but the last name a cell, the last an entry and a child.

    An entry is a training word's own latents, or, where IDs are fewer than words, the mean of some words'. Its children
    lean towards one of its neighbours each, so that the last bits are spent where words are:

    .. math:: c_{i,0} = \alpha_0 a_i, \qquad c_{i,j} = \alpha a_i + \beta a_{n(i,j)}

    with :math:`n(i, j)` the j-th nearest entry to entry i. The code of z is

    .. math:: \arg\min_{i,j} \lVert z - c_{i,j} \rVert^2 - \sum_a \lambda_a s_a(v_{i,a} \mid z)

    where :math:`s_a` is what it adds to the accuracy of attribute a to read z as the value :math:`v_{i,a}` whose
    run of codes entry i lies in. The search is exact in i up to the ``CANDIDATES`` best entries by :math:`c_{i,0}`.

    Args:
        levels: codes of each coordinate; the first A are read as attributes, the last is free.
        width: W of the latents.
        sizes: how many values each of the A attributes has.
        label_share: what share of the reader's accuracy each attribute's coordinate shall keep; the λ_a are found so.
        neighbour_weight: κ. Latents are scaled by :math:`(1 + \kappa\,\sigma_w^2 / \bar\sigma^2)^{1/2}`: an error
            along a direction in which words differ much turns more of their cosines.
    Shape:
        z (B, W) -> quantized (B, W), ids (B, Q).
    Reference:
        A codebook that depends on the codes before is Huijben et al. 2024, arXiv 2401.14732; the hierarchy Razavi et
        al. 2019, arXiv 1906.00446. The dictionary, its children and its layout are this project's own.
    """

    learns = False
    # What `fit` counts off after the reader's steps.
    STAGES = 3

    def __init__(
        self,
        levels: Sequence[int],
        width: int,
        sizes: Sequence[int] = (),
        label_share: float = 0.9,
        neighbour_weight: float = 0.35,
    ):
        super().__init__()
        self.levels, self.width = tuple(levels), width
        self._label_share, self._neighbour_weight = label_share, neighbour_weight
        self.reader = Reader(width, sizes)
        self.pull = mx.zeros((len(sizes),))
        self.home = mx.zeros((math.prod(self.levels[:-1]),), mx.int32)
        self._allocate(1, 0)
        self.freeze(recurse=False)

    def _allocate(self, entries: int, neighbours: int) -> None:
        self.atoms = mx.zeros((entries, self.width), mx.float16)
        self.readings = mx.zeros((entries, len(self.reader.sizes)), mx.int32)
        self.grid = mx.zeros((entries, len(self.levels) - 1), mx.int32)
        self.place = mx.zeros((entries, 2), mx.int32)  # number in its cell, entries in its cell
        self.graph = mx.zeros((entries, neighbours), mx.int32)
        self.closeness = mx.zeros((entries, neighbours))  # a_i · a_n(i,j)

    def resize(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if "graph" in shapes and len(shapes["graph"]) == 2:
            self._allocate(*shapes["graph"])

    def component_scales(self, variances: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = max(float(variances.mean()), 1e-12)
        return np.asarray(np.sqrt(1 + self._neighbour_weight * np.maximum(variances, 0) / mean))

    # --- use ---

    def prepare(self) -> None:
        """What searching needs beside the parameters themselves; after training and after loading."""
        atoms = self.atoms.astype(mx.float32)
        alone, own, other = MIX
        squared = (atoms * atoms).sum(axis=-1)
        near = squared[self.graph] if self.graph.size else self.closeness
        hots = [mx.arange(v) == self.readings[:, a : a + 1] for a, v in enumerate(self.reader.sizes)]
        empty = mx.zeros((len(atoms), 0))
        children = (self.levels[-1] - self.place[:, 0] + self.place[:, 1] - 1) // self.place[:, 1]
        self._ready = {
            "atoms": atoms,
            "squared": squared,
            "alone": alone * alone * squared,
            "pairs": own * own * squared[:, None] + other * other * near + 2 * own * other * self.closeness,
            "hots": mx.concatenate([empty, *(h.astype(mx.float32) for h in hots)], axis=-1),
            "children": mx.minimum(children, self.graph.shape[1] + 1),
        }
        mx.eval(self._ready)

    def costs(self, z: mx.array, *, others: bool = False) -> tuple[mx.array, mx.array]:
        """z (B, W) -> the candidates' entries (B, M), and what each child costs above the best that can be thought of,
        (B, M, children): ‖z − c‖² − ‖z‖² − Σ λ label_gain; infinite where an entry has no such child.

        With ``others``, no word stands for itself: entries that equal z are passed over.
        """
        ready, (alone, own, other) = self._ready, MIX
        along = z @ ready["atoms"].T
        score = ready["alone"] - 2 * alone * along
        if self.reader.sizes:
            label_gain = mx.concatenate([s * self.pull[a] for a, s in enumerate(self.reader.label_gain(z))], axis=-1)
            reading = label_gain @ ready["hots"].T
            score = score - reading
        if others:
            own_length = (z * z).sum(axis=-1, keepdims=True)
            apart = own_length - 2 * along + ready["squared"]
            score = mx.where(apart < 1e-4 * own_length, mx.inf, score)
        best = smallest(score, CANDIDATES)
        cost = mx.take_along_axis(score, best, axis=1)[..., None]
        if self.graph.size:
            near = self.graph[best]
            flat = near.reshape(len(z), -1)
            pairs = ready["pairs"][best] - 2 * own * mx.take_along_axis(along, best, axis=1)[..., None]
            pairs = pairs - 2 * other * mx.take_along_axis(along, flat, axis=1).reshape(near.shape)
            if self.reader.sizes:
                pairs = pairs - mx.take_along_axis(reading, best, axis=1)[..., None]
            cost = mx.concatenate([cost, pairs], axis=-1)
        there = mx.arange(cost.shape[-1]) < ready["children"][best][..., None]
        return best, mx.where(there, cost, mx.inf)

    def left_over(self, z: Vectors) -> Vectors:
        parts = (self._choice(mx.array(z[n : n + ROWS]), others=True) for n in range(0, len(z), ROWS))
        found = [np.asarray(self.ids_to_codes(self.ids(*part))) for part in parts]
        left: Vectors = z - np.concatenate(found)
        return left

    def _choice(self, z: mx.array, *, others: bool = False) -> tuple[mx.array, mx.array]:
        """z (B, W) -> its entry (B,) and which of its children (B,)."""
        best, cost = self.costs(z, others=others)
        chosen = mx.argmin(cost.reshape(len(z), -1), axis=-1).astype(mx.int32)
        entry = mx.take_along_axis(best, (chosen // cost.shape[-1])[:, None], axis=1)[:, 0]
        return entry, chosen % cost.shape[-1]

    def codes_to_ids(self, vectors: mx.array) -> mx.array:
        if not len(vectors):
            return mx.zeros((0, len(self.levels)), mx.int32)
        if len(vectors) > ROWS:
            parts = [self.codes_to_ids(vectors[n : n + ROWS]) for n in range(0, len(vectors), ROWS)]
            mx.eval(parts)
            return mx.concatenate(parts)
        return self.ids(*self._choice(vectors))

    def candidates(self, z: mx.array, ids: mx.array) -> mx.array:
        """The children of the entries nearest to z (B, W): IDs (B, C, Q)."""
        best, cost = self.costs(z)
        shape = cost.shape
        # An entry without the j-th child stands there alone once more.
        child = mx.where(mx.isinf(cost), 0, mx.arange(shape[-1]))
        entry = mx.broadcast_to(best[..., None], shape)
        return self.ids(entry.flatten(), child.flatten()).reshape(len(z), -1, len(self.levels))

    def ids(self, entries: mx.array, children: mx.array) -> mx.array:
        """Entries (B,) and children (B,) -> their IDs (B, Q) int32."""
        # Counted on from the entry's own number, not from 0: else words that stand for themselves, each alone in its
        # cell, would all end in 0.
        last = (entries + children * self.place[entries, 1]) % self.levels[-1]
        return mx.concatenate([self.grid[entries], last[:, None]], axis=-1).astype(mx.int32)

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        """An ID whose cell holds no entry stands for the nearest cell's; a child too many for the last one."""
        strides = np.cumprod((1, *self.levels[:0:-1]))[1:][::-1] // self.levels[-1]
        cell = (ids[:, :-1] * mx.array(strides, mx.int32)).sum(axis=-1) if len(self.levels) > 1 else ids[:, 0] * 0
        first = self.home[cell]
        count = self.place[first, 1]
        offset = (ids[:, -1] - first) % self.levels[-1]
        entry = first + offset % count
        child = mx.minimum(offset // count, self._ready["children"][entry] - 1)
        atoms, (alone, own, other) = self._ready["atoms"], MIX
        if not self.graph.size:
            return alone * atoms[entry]
        leaning = own * atoms[entry] + other * atoms[self.graph[entry, mx.maximum(child - 1, 0)]]
        return mx.where((child == 0)[:, None], alone * atoms[entry], leaning)

    def forward_levels(self, z: mx.array) -> tuple[Codes, list[mx.array]]:
        ids = mx.stop_gradient(self.codes_to_ids(z))
        quantized = self.ids_to_codes(ids)
        return Codes(straight_through(z, quantized), ids, mx.array(0.0)), []

    # --- training ---

    def fit(
        self,
        z: Vectors,
        labels: Indices,
        weights: Vectors,
        valid: tuple[Vectors, Indices],
        seed: int,
        progress: Callable[[int], None] = lambda n: None,
        *,
        fuse: bool = True,
    ) -> None:
        """Make the dictionary from latents z (N, W) with labels (N, A) and balancing weights (N, A).

        The λ_a fit ``valid``, latents and labels of words that the dictionary doesn't hold.
        """
        self.reader.fit(z, labels, weights, seed, progress, fuse=fuse)
        self.pull = mx.full((len(self.reader.sizes),), 0.2 * float((z * z).sum(axis=1).mean()))
        entries, shares = self._choose(z, valid, seed)
        progress(1)
        self._store(entries, lay_out(self.levels, entries.values, entries.scores, shares))
        progress(1)
        self._link()
        self.prepare()
        progress(1)

    def _choose(self, z: Vectors, valid: tuple[Vectors, Indices], seed: int) -> tuple[_Entries, list[Indices | None]]:
        """The words themselves, or, with more words than IDs, as many means of them; each with the values to read."""
        parts = [np.asarray(part) for part in self.reader(mx.array(z))]
        labelled = [bool(part.any()) for part in parts]
        wanted = [np.bincount(part.argmax(axis=1), minlength=part.shape[1]) for part in parts]
        shares = [allocate(count, self.levels[a]) if labelled[a] else None for a, count in enumerate(wanted)]
        scores = np.empty((len(z), len(self.levels)))
        for q in range(scores.shape[1]):
            if q < len(parts) and labelled[q]:
                scores[:, q] = parts[q] @ np.arange(parts[q].shape[1])
            else:  # principal components come first among the latents
                scores[:, q] = z[:, min(q - sum(labelled[:q]), z.shape[1] - 1)]
        label_gain = np.concatenate(
            [np.zeros((len(z), 0)), *map(np.asarray, self.reader.label_gain(mx.array(z)))], axis=1
        )
        room = math.prod(self.levels)
        member = _nearest_means(z, room, seed) if len(z) > room else np.arange(len(z))
        atoms, scores, label_gain = (_means(part, member) for part in (z, scores, label_gain))
        values = match(label_gain * np.bincount(member)[:, None], self.reader.sizes, shares, self.levels)
        self._try(atoms, values)
        for _ in range(ROUNDS):
            if len(z) > room:
                atoms = _means(z, self._nearest(z), atoms)
            self._pull(*valid)
            self._try(atoms, values)
        return _Entries(atoms, values, scores), shares

    def _try(self, atoms: Vectors, values: Indices) -> None:
        """Search these entries as they are, without children."""
        self._allocate(len(atoms), 0)
        self.atoms, self.readings = mx.array(atoms, mx.float16), mx.array(values, mx.int32)
        self.place = mx.concatenate([mx.zeros((len(atoms), 1)), mx.ones((len(atoms), 1))], axis=1).astype(mx.int32)
        self.prepare()

    def _nearest(self, z: Vectors) -> Indices:
        """z (N, W) -> the entry of each (N,)."""
        found = [np.asarray(self._choice(mx.array(z[n : n + ROWS]))[0]) for n in range(0, len(z), ROWS)]
        return np.concatenate(found).astype(np.int64)

    def _pull(self, valid: Vectors, labels: Indices) -> None:
        """One step of the λ_a towards keeping the share of the reader's accuracy that is asked for."""
        if not self.reader.sizes or not len(valid):
            return
        values = np.asarray(self.readings)[self._nearest(valid)]
        kept = []
        for a, part in enumerate(map(np.asarray, self.reader.label_gain(mx.array(valid)))):
            gain = np.take_along_axis(part, values[:, a : a + 1], axis=1)
            kept.append(float(gain.sum() / max(part.max(axis=1).sum(), 1e-12)))  # as the reader itself expects
            known = labels[:, a] >= 0
            if known.sum() >= ENOUGH:
                told = balanced_accuracy(part.argmax(axis=1)[known], labels[known, a])
                kept[-1] = min(kept[-1], balanced_accuracy(values[known, a], labels[known, a]) / max(told, 1e-12))
        step = np.clip(8 * (self._label_share - np.array(kept)), -0.5, 0.5)
        self.pull = self.pull * mx.array(np.exp(step), mx.float32)

    def _store(self, entries: _Entries, grid: Indices) -> None:
        """Keep the entries in the order of their cells, and within a cell of what its last number is to tell."""
        cell = (
            np.ravel_multi_index(tuple(grid.T), self.levels[:-1]) if len(self.levels) > 1 else grid[:, :0].sum(axis=1)
        )
        order = np.lexsort((entries.scores[:, -1], cell))
        cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
        count = np.repeat(counts, counts)
        number = np.arange(len(order)) - np.repeat(first, counts)
        home = np.full(self.home.shape[0], -1)
        home[cells] = first
        self._allocate(len(order), 0)
        self.atoms = mx.array(entries.atoms[order], mx.float16)
        self.readings = mx.array(entries.values[order], mx.int32)
        self.grid, self.place = mx.array(grid[order], mx.int32), mx.array(np.stack([number, count], 1), mx.int32)
        self.home = mx.array(nearest_filled(home, self.levels[:-1] or (1,)), mx.int32)

    def _link(self) -> None:
        """The graph of nearest entries, as far as any entry has children."""
        import faiss

        atoms = np.asarray(self.atoms.astype(mx.float32))
        most = -(-self.levels[-1] // int(np.asarray(self.place[:, 1]).min())) - 1
        wanted = min(most, len(atoms) - 1, MAX_CHILDREN - 1)
        if wanted < 1:
            return
        index = faiss.IndexFlatL2(self.width)
        index.add(atoms)
        _, found = index.search(atoms, wanted + 1)
        # An entry is its own nearest, save among equal ones: then the last of the list goes instead.
        own = found == np.arange(len(atoms))[:, None]
        own[~own.any(axis=1), -1] = True
        graph = found[~own].reshape(len(atoms), wanted)
        # Row by row: all neighbours' latents at once would take a gigabyte.
        self.closeness = mx.array(np.stack([atoms[near] @ a for a, near in zip(atoms, graph, strict=True)]))
        self.graph = mx.array(graph, mx.int32)


def _nearest_means(z: Vectors, count: int, seed: int) -> Indices:
    """k-means begun, for the rounds of :meth:`HVQ._choose` to go on with: which of ``count`` each of z (N, W) is in."""
    import faiss

    means = faiss.Kmeans(z.shape[1], count, niter=4, seed=seed, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(z))
    member = np.asarray(means.index.search(np.ascontiguousarray(z), 1)[1][:, 0], np.int64)
    return np.unique(member, return_inverse=True)[1].ravel()  # equal vectors may leave some means without any


def _means(x: NDArray[Any], member: Indices, default: NDArray[Any] | None = None) -> NDArray[Any]:
    """Mean over the rows of x (N, C) with each member number; ``default`` (K, C) has the rows for those without any."""
    count = int(member.max()) + 1 if default is None else len(default)
    hits, order = np.bincount(member, minlength=count), np.argsort(member, kind="stable")
    used = np.flatnonzero(hits)
    out = np.zeros((count, x.shape[1]), x.dtype) if default is None else default.copy()
    out[used] = np.add.reduceat(x[order], (np.cumsum(hits) - hits)[used]) / hits[used, None]
    return out
