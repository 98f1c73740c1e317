"""``dictionary.wotd``: what an app searches for the code nearest to a vector, in one file that it maps.

Everything is little-endian, and every part starts at a multiple of 16 bytes, with zeros before it::

    0   "WOTDDICT"
    8   uint32 ×11: version, entries M, coordinates Q, attributes A, dimensions D, columns of 8 bits, columns of 4 bits,
        cells C, neighbours in all N, neighbours that an entry has at most, candidates
    52  float32 ×6: α₀, α, β, what an agreement is worth, what a contradiction costs, from which probability on a value
        is told
        uint32 (Q)        levels
        uint32 (A)        how many values V each attribute has
        float32 (K, D)    vector → latents, of the K columns of 8 and 4 bits
        float32 (K)       what is added to them
        float32 (K)       the columns' steps s
        uint32 (C)        where each cell's entries end among all
        uint32 (C, Q − 1) the cells' numbers
        uint32 (C, A)     what each cell's entries read as, V for none
        int8 (M, ·)       k of the columns of 8 bits: a value is (k + ½) s
        uint8 (M, ·)      k + 8 of the columns of 4 bits: a byte's low half is of the first half of the columns, the
                          other of the second
        float32 (M)       the entries' squared lengths
        uint16|32 (N)     the entries' neighbours, nearest first; of 16 bits where M fits them
        uint32            Adler-32 of all before it

How many neighbours an entry has follows from its cell: entry n of c has ⌈(levels[−1] − n)/c⌉ codes, itself and its
neighbours, though not more than the head says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.hvq import APART, CANDIDATES, HVQ, MIX, WORTH
from wotd_mlx.codes.lattice import Lattice
from wotd_mlx.export.mapped import aligned, joined
from wotd_mlx.known import LIKELY
from wotd_mlx.schemas import WotdError

MAGIC, VERSION = b"WOTDDICT", 1
FILE = "dictionary.wotd"
_HEAD = struct.Struct("<8s11I6f")
_AT_ONCE = 64
"""Vectors whose products with all entries are held at once."""


def searchable(model: Autoencoder) -> HVQ | None:
    """The dictionary of codes whose search an app does itself: laid out by attributes, and without a detail."""
    quantizer = model.quantizer
    apart = isinstance(quantizer, HVQ) and quantizer.laid_out and model.detail is None and not model.encoder.hidden
    return quantizer if apart and isinstance(quantizer, HVQ) else None


def encoded(model: Autoencoder, q: HVQ) -> bytes:
    """The file's bytes, of :func:`searchable` codes."""
    lattice, atoms = q.lattice, np.array(q.atoms.astype(mx.float32))
    numbers, kept = lattice.numbers(atoms), lattice.kept
    if not np.array_equal(lattice.values(numbers), atoms):
        raise WotdError("the dictionary's entries lie beside their lattice; train the codes again")
    grid, place, graph = (np.asarray(array) for array in (q.grid, q.place, q.graph))
    first = np.flatnonzero(place[:, 0] == 0)
    ends = np.append(first[1:], len(atoms))
    values = np.asarray(q.readings)
    if (values != np.repeat(values[first], ends - first, axis=0)).any():
        raise WotdError("the dictionary has cells whose entries read in several ways; train the codes again")
    neighbours = graph[np.arange(graph.shape[1]) < _children(q.levels[-1], place, graph.shape[1])[:, None] - 1]
    squares = (atoms * atoms).sum(axis=1)
    weight = np.array(model.encoder.linear.weight)[:kept] / np.array(model.scale)
    four = (numbers[:, lattice.eight :] + 8).astype(np.uint8)
    half = lattice.four // 2
    counts = (len(atoms), len(q.levels), len(q.sizes), weight.shape[1], lattice.eight, lattice.four)
    factors = (*MIX, WORTH * squares.mean(), APART * squares.max(), LIKELY)
    head = _HEAD.pack(
        MAGIC, VERSION, *counts, len(first), len(neighbours), graph.shape[1], CANDIDATES, *map(float, factors)
    )
    return joined(
        head,
        [
            *(np.array(q.levels, "<u4"), np.array(q.sizes, "<u4")),
            *(weight.astype("<f4"), (-weight @ np.array(model.mean)).astype("<f4"), lattice.steps[:kept].astype("<f4")),
            *(ends.astype("<u4"), grid[first].astype("<u4"), values[first].astype("<u4")),
            *(numbers[:, : lattice.eight], four[:, :half] | four[:, half:] << 4, squares.astype("<f4")),
            neighbours.astype(_neighbour_type(len(atoms))),
        ],
    )


def _children(last: int, place: Indices, most: int) -> Indices:
    """Codes of the entries with place (M, 2), each its number in its cell and the cell's count: (M,)."""
    found: Indices = np.clip(-((place[:, 0] - last) // place[:, 1]), 1, most + 1)
    return found


def _neighbour_type(entries: int) -> str:
    return "<u2" if entries <= 1 << 16 else "<u4"


def told(probabilities: Vectors, sizes: Sequence[int] | Indices, likely: float = LIKELY) -> Indices:
    """probabilities (N, ΣV), one attribute's after the other's -> the values (N, A) that are likely; V for none."""
    parts = np.split(probabilities, np.cumsum(sizes)[:-1], axis=1)
    found = [np.where(p.max(axis=1) > likely, p.argmax(axis=1), p.shape[1]) for p in parts]
    return np.stack(found, axis=1)


def ids(model: Autoencoder, vectors: Vectors, probabilities: Vectors) -> Indices:
    """What MLX finds for vectors (N, D) with the probabilities (N, ΣV) of their attributes' values: IDs (N, Q)."""
    values = told(probabilities, model.text_reader.sizes)
    return np.asarray(model.encode(mx.array(vectors), mx.array(values, mx.int32)), np.int64)


class CodeBook:
    """A ``dictionary.wotd`` in use: what an app does with it, number by number.

    Raises:
        WotdError: no such file, or a damaged one.
    """

    def __init__(self, raw: bytes):
        if len(raw) < _HEAD.size + 4 or raw[:8] != MAGIC or struct.unpack("<I", raw[-4:])[0] != zlib.adler32(raw[:-4]):
            raise WotdError("no dictionary, or a damaged one; export the bundle again")
        _, version, M, Q, A, D, eight, four, C, N, most, self.candidates, *factors = _HEAD.unpack_from(raw)
        if version != VERSION:
            raise WotdError(f"a dictionary of version {version}, expected {VERSION}; export the bundle again")
        *self.mix, self.worth, self.apart, self.likely = factors
        at, kept = _HEAD.size, eight + four

        def part(kind: str, *shape: int) -> NDArray[np.generic]:
            nonlocal at
            array = np.frombuffer(raw, kind, int(np.prod(shape, dtype=np.int64)), aligned(at)).reshape(shape)
            at = aligned(at) + array.nbytes
            return array

        self.levels, self.sizes = part("<u4", Q).astype(np.int64), part("<u4", A).astype(np.int64)
        self.map, self.offset = part("<f4", kept, D).astype(np.float32), part("<f4", kept).astype(np.float32)
        lattice = Lattice(part("<f4", kept).astype(np.float32), eight, four)
        ends = part("<u4", C).astype(np.int64)
        counts = np.diff(ends, prepend=0)
        self.grid = np.repeat(part("<u4", C, Q - 1).astype(np.int64), counts, axis=0)
        self.readings = np.repeat(part("<u4", C, A).astype(np.int64), counts, axis=0)
        self.count = np.repeat(counts, counts)
        whole, pairs = part("i1", M, eight), part("u1", M, four // 2).astype(np.uint8)
        numbers = np.concatenate([whole, pairs % 16 - 8, pairs // 16 - 8], axis=1).astype(np.int8)
        self.atoms, self.squares = lattice.values(numbers), part("<f4", M).astype(np.float32)
        number = np.arange(M) - np.repeat(ends - counts, counts)
        have = _children(int(self.levels[-1]), np.stack([number, self.count], axis=1), most) - 1
        self._ends = have.cumsum()
        self._starts = self._ends - have
        self.neighbours = part(_neighbour_type(M), N).astype(np.int64)

    def told(self, probabilities: Vectors) -> Indices:
        """probabilities (N, ΣV), one attribute's after the other's -> the values (N, A) that are likely; V for none."""
        return told(probabilities, self.sizes, self.likely)

    def search(self, vectors: Vectors, values: Indices) -> Indices:
        """vectors (N, D) with values (N, A) -> IDs (N, Q)."""
        z = vectors @ self.map.T + self.offset
        out = np.empty((len(z), len(self.levels)), np.int64)
        for start in range(0, len(z), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            along = z[rows] @ self.atoms.T
            out[rows] = [self._nearest(*row) for row in zip(along, values[rows], strict=True)]
        return out

    def _nearest(self, along: Vectors, values: Indices) -> list[int]:
        """Products (M,) of latents with all entries, and values (A,) -> the ID."""
        alone, own, other = self.mix
        same, none = self.readings == values, self.readings == self.sizes
        contradictions = (~same & ~none).sum(axis=1)
        rows = np.flatnonzero(contradictions == 0)
        if len(rows) < self.candidates:
            rows = np.arange(len(along))
        more = self.apart * contradictions[rows] - self.worth * same[rows].sum(axis=1)
        score = alone * alone * self.squares[rows] - 2 * alone * along[rows] + more
        best, found = np.inf, (0, 0)
        for place in np.argsort(score, kind="stable")[: self.candidates]:
            i = rows[place]
            near = self.neighbours[self._starts[i] : self._ends[i]]
            between = self.atoms[near] @ self.atoms[i]
            pairs = own * own * self.squares[i] + other * other * self.squares[near] + 2 * own * other * between
            costs = np.append(score[place], pairs - 2 * own * along[i] - 2 * other * along[near] + more[place])
            child = int(costs.argmin())
            if costs[child] < best:
                best, found = costs[child], (i, child)
        i, child = found
        return [*self.grid[i].tolist(), int((i + child * self.count[i]) % self.levels[-1])]
