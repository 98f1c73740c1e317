"""Hierarchical vector quantisation: the ID's numbers are a path through a dictionary of words, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
from wotd_mlx.codes.grid import allocate, lay_out, nearest_filled
from wotd_mlx.codes.lattice import Lattice
from wotd_mlx.codes.search import smallest
from wotd_mlx.schemas import Codes

# α₀, α, β, chosen on validation words: (0.8, 0.55, 0.35) makes 2 % more error and ranks distances no better.
MIX = (0.7, 0.45, 0.35)
# How many entries are tried with all their children: those that are nearest alone.
CANDIDATES = 8
# Neighbours that an entry leans to, at most: a last coordinate of 2,048 codes would make a graph of gigabytes, and what
# lies behind the first few dozens is no neighbour any more.
MAX_CHILDREN = 32
# What an attribute that reads otherwise costs an entry, in squared lengths of the longest: more than any distance, so
# that those that agree come first, and little enough that the nearest of others are still told apart.
APART = 16.0
# λ, in mean squared lengths of entries: what it is worth that an entry has a value that was predicted. With 0.1 IDs of
# unknown words say half again as much of what is predicted and make 5 % more error; with 0.03 less, and 1 % less error.
WORTH = 0.05
# Rows searched at once: scores of 26,000 entries for 256 rows take 27 MB.
ROWS = 256


@dataclass(frozen=True)
class _Entries:
    """The dictionary while it is being made: latents (M, W) and values (M, A); and the entry of each word that is one
    itself (N,), −1 for those that share."""

    atoms: Vectors
    values: Indices
    owned: Indices


class HVQ(Quantizer):
    r"""A dictionary laid out on the grid of IDs: all numbers but the last name a cell, the last an entry and a child.

    An entry is a word's own latents, or, where the words of its labels are more than their IDs, the mean of some. It
    lies in a cell whose numbers read as the labels that evidence gives the word; what has no evidence reads as *none*,
    a value beside the attribute's own. Its children lean towards one of its neighbours each, so that the last bits are
    spent where words are:

    .. math:: c_{i,0} = \alpha_0 a_i, \qquad c_{i,j} = \alpha a_i + \beta a_{n(i,j)}

    with :math:`n(i, j)` the j-th nearest entry to entry i. The code of z is

    .. math:: \arg\min_{i,j} \lVert z - c_{i,j} \rVert^2 - \lambda\,|\{a: v_{i,a} = v_a(z)\}|
        \quad\text{over entries with}\quad v_{i,a} \in \{v_a(z), \text{none}\}

    where v(z) are the values that z is said to have. So an ID claims no more than was predicted; for a word with
    evidence none is no way out, and all labels stand in its ID. Without values all entries are searched. The search is
    exact in i up to the ``CANDIDATES`` best entries by :math:`c_{i,0}`. Entries lie on a :class:`Lattice` of
    half a byte a number: so an app's copy is the same, number by number.

    Args:
        levels: codes of each coordinate; the first A are read as attributes, the last is free.
        width: W of the latents.
        sizes: how many values V each of the A attributes has; value V is none of them.
        neighbour_weight: κ. Latents are scaled by :math:`(1 + \kappa\,\sigma_w^2 / \bar\sigma^2)^{1/2}`: an error
            along a direction in which words differ much turns more of their cosines.
    Shape:
        z (B, W) -> quantized (B, W), ids (B, Q).
    Reference:
        A codebook that depends on the codes before is Huijben et al. 2024, arXiv 2401.14732; the hierarchy Razavi et
        al. 2019, arXiv 1906.00446. The dictionary, its children and its layout are this project's own.
    """

    learns = False

    def __init__(self, levels: Sequence[int], width: int, sizes: Sequence[int] = (), neighbour_weight: float = 0.35):
        super().__init__()
        self.levels, self.width = tuple(levels), width
        self._neighbour_weight = neighbour_weight
        self.sizes = tuple(sizes)
        # Codes that each value of each attribute owns, those of none last.
        self.shares = mx.zeros((sum(size + 1 for size in self.sizes),), mx.int32)
        self.home = mx.zeros((math.prod(self.levels[:-1]),), mx.int32)
        self.steps = mx.zeros((width,))
        self.columns = mx.zeros((2,), mx.int32)  # how many have 8 bits, and how many 4
        self._allocate(1, 0)
        self.freeze(recurse=False)

    def _allocate(self, entries: int, neighbours: int) -> None:
        self.atoms = mx.zeros((entries, self.width), mx.float16)
        self.readings = mx.zeros((entries, len(self.sizes)), mx.int32)
        self.grid = mx.zeros((entries, len(self.levels) - 1), mx.int32)
        self.place = mx.zeros((entries, 2), mx.int32)  # number in its cell, entries in its cell
        self.graph = mx.zeros((entries, neighbours), mx.int32)
        self.closeness = mx.zeros((entries, neighbours))  # a_i · a_n(i,j)

    def stages(self, rows: int) -> int:
        return 2

    def resize(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if "graph" in shapes and len(shapes["graph"]) == 2:
            self._allocate(*shapes["graph"])

    def component_scales(self, variances: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = max(float(variances.mean()), 1e-12)
        return np.asarray(np.sqrt(1 + self._neighbour_weight * np.maximum(variances, 0) / mean))

    @property
    def laid_out(self) -> bool:
        return bool(self.sizes)

    @property
    def lattice(self) -> Lattice:
        """What the entries are rounded to."""
        eight, four = np.asarray(self.columns).tolist()
        return Lattice(np.array(self.steps), eight, four)

    def code_values(self) -> list[Indices]:
        # Without an attribute there would be one part, of nothing.
        parts = np.split(np.asarray(self.shares), np.cumsum([size + 1 for size in self.sizes]))[: len(self.sizes)]
        return [np.repeat(np.arange(len(share)), share) for share in parts]

    # --- use ---

    def prepare(self) -> None:
        """What searching needs beside the parameters themselves; after training and after loading."""
        atoms = self.atoms.astype(mx.float32)
        alone, own, other = MIX
        squared = (atoms * atoms).sum(axis=-1)
        near = squared[self.graph] if self.graph.size else self.closeness
        children = (self.levels[-1] - self.place[:, 0] + self.place[:, 1] - 1) // self.place[:, 1]
        self._ready = {
            "atoms": atoms,
            "squared": squared,
            "alone": alone * alone * squared,
            "pairs": own * own * squared[:, None] + other * other * near + 2 * own * other * self.closeness,
            "hots": self._hots(self.readings),
            "apart": APART * squared.max(),
            "worth": WORTH * squared.mean() / (APART * squared.max()),
            "children": mx.minimum(children, self.graph.shape[1] + 1),
        }
        mx.eval(self._ready)

    def _hots(self, values: mx.array) -> mx.array:
        """values (B, A) -> (B, sum of V + 1): 1 at each attribute's value."""
        hots = [mx.arange(size + 1) == values[:, a : a + 1] for a, size in enumerate(self.sizes)]
        return mx.concatenate([mx.zeros((len(values), 0)), *(h.astype(mx.float32) for h in hots)], axis=-1)

    def costs(
        self, z: mx.array, values: mx.array | None = None, *, exact: bool = False, itself: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """z (B, W) with values (B, A) -> the candidates' entries (B, M), and what each child costs, (B, M, children):
        ‖z − c‖² − ‖z‖², and more than any distance for each attribute that it reads otherwise; infinite where an entry
        has no such child.

        Args:
            exact: an entry that reads as none reads otherwise too, where that isn't what is wanted.
            itself: z as the lattice has it (B, W): no word stands for itself, so entries equal to either don't count.
        """
        ready, (alone, own, other) = self._ready, MIX
        along = z @ ready["atoms"].T
        score = ready["alone"] - 2 * alone * along
        if values is not None:
            wanted = self._hots(values)
            if not exact:
                wanted = mx.maximum(wanted * (1 + ready["worth"]), self._hots(mx.array([self.sizes])))
            apart = ready["apart"] * (len(self.sizes) - wanted @ ready["hots"].T)
            score = score + apart
        if itself is not None:
            own_length = (z * z).sum(axis=-1, keepdims=True)
            for row in (z, itself):
                distance = (row * row).sum(axis=-1, keepdims=True) - 2 * row @ ready["atoms"].T + ready["squared"]
                score = mx.where(distance < 1e-4 * own_length, mx.inf, score)
        best = smallest(score, CANDIDATES)
        cost = mx.take_along_axis(score, best, axis=1)[..., None]
        if self.graph.size:
            near = self.graph[best]
            flat = near.reshape(len(z), -1)
            pairs = ready["pairs"][best] - 2 * own * mx.take_along_axis(along, best, axis=1)[..., None]
            pairs = pairs - 2 * other * mx.take_along_axis(along, flat, axis=1).reshape(near.shape)
            if values is not None:
                pairs = pairs + mx.take_along_axis(apart, best, axis=1)[..., None]
            cost = mx.concatenate([cost, pairs], axis=-1)
        there = mx.arange(cost.shape[-1]) < ready["children"][best][..., None]
        return best, mx.where(there, cost, mx.inf)

    def left_over(self, z: Vectors) -> Vectors:
        rounded = self.lattice.rounded(z)
        parts = (
            self._choice(mx.array(z[n : n + ROWS]), itself=mx.array(rounded[n : n + ROWS]))
            for n in range(0, len(z), ROWS)
        )
        found = [np.asarray(self.ids_to_codes(self.ids(*part))) for part in parts]
        left: Vectors = z - np.concatenate(found)
        return left

    def _choice(
        self, z: mx.array, values: mx.array | None = None, *, exact: bool = False, itself: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """z (B, W) -> its entry (B,) and which of its children (B,)."""
        best, cost = self.costs(z, values, exact=exact, itself=itself)
        chosen = mx.argmin(cost.reshape(len(z), -1), axis=-1).astype(mx.int32)
        entry = mx.take_along_axis(best, (chosen // cost.shape[-1])[:, None], axis=1)[:, 0]
        return entry, chosen % cost.shape[-1]

    def codes_to_ids(self, vectors: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        if not len(vectors):
            return mx.zeros((0, len(self.levels)), mx.int32)
        if len(vectors) > ROWS:
            rows = [slice(n, n + ROWS) for n in range(0, len(vectors), ROWS)]
            parts = [self.codes_to_ids(vectors[r], None if values is None else values[r], exact=exact) for r in rows]
            mx.eval(parts)
            return mx.concatenate(parts)
        return self.ids(*self._choice(vectors, values, exact=exact))

    def candidates(self, z: mx.array, ids: mx.array) -> mx.array:
        """The children of the entries nearest to z (B, W) that read as ids (B, Q) do: IDs (B, C, Q)."""
        values = [mx.array(table, mx.int32)[ids[:, a]] for a, table in enumerate(self.code_values())]
        best, cost = self.costs(z, mx.stack(values, axis=1) if values else None, exact=True)
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

    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        ids = mx.stop_gradient(self.codes_to_ids(z, values))
        quantized = self.ids_to_codes(ids)
        return Codes(straight_through(z, quantized), ids, mx.array(0.0)), []

    # --- training ---

    def enter(
        self, z: Vectors, labels: Indices, seed: int, progress: Callable[[int], None] = lambda n: None
    ) -> Indices:
        """Make the dictionary of these words: the ID of each is its own entry's, or, where its kind has more words than
        IDs, the nearest that reads as its labels."""
        sizes = np.array(self.sizes, np.int64)
        values = np.where(labels < 0, sizes, labels)
        shares = [self._deal(values[:, a], a) for a in range(len(sizes))]
        self.shares = mx.array(np.concatenate([np.zeros(0, np.int64), *shares]), mx.int32)
        entries = self._entries(z, values, shares, seed)
        # Principal components come first among the latents; those of the whole order the codes of each value.
        scores = entries.atoms[:, np.minimum(np.arange(len(self.levels)), z.shape[1] - 1)]
        place = self._store(entries, scores[:, -1], lay_out(self.levels, entries.values, scores, shares))
        progress(1)
        self._link()
        self.prepare()
        progress(1)
        own, shared = np.flatnonzero(entries.owned >= 0), np.flatnonzero(entries.owned < 0)
        ids = np.empty((len(z), len(self.levels)), np.int64)
        alone = mx.array(place[entries.owned[own]], mx.int32)
        ids[own] = np.asarray(self.ids(alone, mx.zeros_like(alone)))
        wanted = mx.array(values[shared], mx.int32)
        ids[shared] = np.asarray(self.codes_to_ids(mx.array(z[shared]), wanted, exact=True))
        return ids

    def _deal(self, values: Indices, a: int) -> Indices:
        """Codes of attribute a's coordinate to its values by how many words have each; none keeps one always."""
        counts = np.bincount(values, minlength=self.sizes[a] + 1)
        counts[-1] = max(counts[-1], 1)
        return allocate(counts, self.levels[a])

    def _entries(self, z: Vectors, values: Indices, shares: Sequence[Indices], seed: int) -> _Entries:
        """The words themselves, or, where a kind has more words than IDs, as many means of them as it has IDs."""
        kinds, member = np.unique(values, axis=0, return_inverse=True)
        atoms, of, made = [], [], 0
        owned = np.full(len(z), -1)
        free = math.prod(self.levels[len(shares) :])
        for number, kind in enumerate(kinds):
            rows = np.flatnonzero(member.ravel() == number)
            room = free * math.prod(int(share[value]) for share, value in zip(shares, kind, strict=True))
            if len(rows) <= room:
                owned[rows] = made + np.arange(len(rows))
            atoms.append(z[rows] if len(rows) <= room else _means(z[rows], room, seed))
            of.append(np.full(len(atoms[-1]), number))
            made += len(atoms[-1])
        return _Entries(np.concatenate(atoms), kinds[np.concatenate(of)], owned)

    def _store(self, entries: _Entries, score: Vectors, grid: Indices) -> Indices:
        """Keep the entries in the order of their cells, and within a cell of what its last number is to tell; return
        where each now is (M,)."""
        cell = (
            np.ravel_multi_index(tuple(grid.T), self.levels[:-1]) if len(self.levels) > 1 else grid[:, :0].sum(axis=1)
        )
        order = np.lexsort((score, cell))
        cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
        count = np.repeat(counts, counts)
        number = np.arange(len(order)) - np.repeat(first, counts)
        home = np.full(self.home.shape[0], -1)
        home[cells] = first
        self._allocate(len(order), 0)
        lattice = Lattice.of(entries.atoms)
        self.steps, self.columns = mx.array(lattice.steps), mx.array([lattice.eight, lattice.four], mx.int32)
        self.atoms = mx.array(lattice.rounded(entries.atoms[order]), mx.float16)
        self.readings = mx.array(entries.values[order], mx.int32)
        self.grid, self.place = mx.array(grid[order], mx.int32), mx.array(np.stack([number, count], 1), mx.int32)
        self.home = mx.array(nearest_filled(home, self.levels[:-1] or (1,)), mx.int32)
        return np.argsort(order)

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


def _means(z: Vectors, count: int, seed: int) -> Vectors:
    """At most ``count`` means of z (N, W), by k-means."""
    import faiss

    means = faiss.Kmeans(z.shape[1], count, niter=12, seed=seed, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(z))
    _, nearest = means.index.search(np.ascontiguousarray(z), 1)
    # Equal vectors may leave some means without any.
    found: Vectors = np.asarray(means.centroids, np.float32)[np.unique(nearest)]
    return found
