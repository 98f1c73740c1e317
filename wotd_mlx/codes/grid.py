"""Where each dictionary entry lies on the grid of IDs: an attribute's values take runs of codes, in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices


def allocate(counts: Indices, codes: int) -> Indices:
    """Deal ``codes`` out to values by their counts (V,), largest remainder first; one at least to each that occurs."""
    alive = counts > 0
    share = counts / max(counts.sum(), 1) * codes
    dealt: Indices = np.maximum(np.floor(share).astype(np.int64), alive)
    while dealt.sum() > codes:
        dealt[np.argmax(np.where(dealt > 1, dealt - share, -np.inf))] -= 1
    while dealt.sum() < codes:
        dealt[np.argmax(np.where(alive, share - dealt, -np.inf))] += 1
    return dealt


def match(
    gains: NDArray[np.floating], sizes: Sequence[int], shares: Sequence[Indices | None], levels: Sequence[int]
) -> Indices:
    """The values (N, A) that N entries are read as: those with the highest gains, as far as their cells have room.

    Entropic optimal transport (Sinkhorn's algorithm, Cuturi 2013, arXiv 1306.0895) of entries to kinds, a kind being
    one value of each attribute; then entries take their best kind with room, the surest first.

    Args:
        gains: (N, ΣV) what each value of each attribute is worth to an entry.
        sizes: V of each attribute.
        shares: codes a value, from :func:`allocate`; None for an attribute that has none.
        levels: Q of them; a kind's room is the IDs that its values own.
    """
    owned = {a: share for a, share in enumerate(shares) if share is not None}
    tied = list(owned)
    values = np.zeros((len(gains), len(sizes)), np.int64)
    if not tied:
        return values
    kinds = np.stack(np.meshgrid(*(np.flatnonzero(share) for share in owned.values()), indexing="ij"), axis=-1)
    kinds = kinds.reshape(-1, len(tied))
    free = math.prod(k for q, k in enumerate(levels) if q not in owned)
    room = free * np.prod([owned[a][kinds[:, n]] for n, a in enumerate(tied)], axis=0)
    ends = np.cumsum(sizes)
    worth = np.sum([gains[:, ends[a] - sizes[a] : ends[a]][:, kinds[:, n]] for n, a in enumerate(tied)], axis=0)
    worth = worth / max(float(np.abs(worth).mean()), 1e-12)
    plan = np.exp((worth - worth.max(axis=1, keepdims=True)) / 0.1)
    scale = np.ones(len(room))
    for _ in range(50):
        plan /= plan.sum(axis=1, keepdims=True)
        # Room is a limit, not a demand: a kind is only ever made less attractive, or as attractive as it was.
        factor = np.minimum(room / np.maximum(plan.sum(axis=0), 1e-12), 1 / scale)
        scale *= factor
        plan *= factor
    left, chosen = room.copy(), np.empty(len(gains), np.int64)
    for entry in np.argsort(-plan.max(axis=1), kind="stable"):
        chosen[entry] = np.argmax(np.where(left > 0, plan[entry], -1))
        left[chosen[entry]] -= 1
    values[:, tied] = kinds[chosen]
    return values


def cut(group: Indices, score: NDArray[np.floating], codes: Indices) -> Indices:
    """Order each group's rows by score and cut them into ``codes`` runs as equal as can be: (N,) ×3 -> codes (N,)."""
    order = np.lexsort((score, group))
    sizes = np.bincount(group)
    position = np.empty(len(group), np.int64)
    position[order] = np.arange(len(group)) - (np.cumsum(sizes) - sizes)[group[order]]
    return position * codes // sizes[group]


def lay_out(
    levels: Sequence[int], values: Indices, scores: NDArray[np.floating], shares: Sequence[Indices | None]
) -> Indices:
    """Coordinates (N, Q − 1) of N entries on all levels but the last, which tells entries of one cell apart.

    Coordinate q of an attribute is the run of codes that its value owns, and within the run the entries with the same
    values of all attributes go by score into equal parts; so a cell holds as many entries as any other of its kind.

    Args:
        levels: Q of them.
        values: (N, A) the number of each entry's value.
        scores: (N, Q − 1 or more) what orders entries along each coordinate.
        shares: codes a value for each attribute, from :func:`allocate`; None where a coordinate has none.
    """
    kinds = np.unique(values, axis=0, return_inverse=True)[1].ravel() if values.shape[1] else np.zeros(len(values), int)
    cell, grid = kinds, np.zeros((len(values), len(levels) - 1), np.int64)
    for q in range(len(levels) - 1):
        share = shares[q] if q < len(shares) else None
        if share is None:
            grid[:, q] = cut(cell, scores[:, q], np.full(len(values), levels[q]))
        else:
            first = np.cumsum(share) - share
            grid[:, q] = first[values[:, q]] + cut(cell, scores[:, q], share[values[:, q]])
        cell = np.unique(cell * levels[q] + grid[:, q], return_inverse=True)[1]
    return grid


def nearest_filled(filled: Indices, levels: Sequence[int]) -> Indices:
    """For every cell of the grid ``levels`` (C,) the entry of ``filled`` (C,), or, where that is −1, of the nearest
    cell that has one, city-block: so that an ID which no word has still stands for something near."""
    home = filled.reshape(levels).copy()
    while (home < 0).any():
        grown = home.copy()
        for axis in range(home.ndim):
            for step in (1, -1):
                moved = np.roll(home, step, axis)
                # What rolls over the edge is no neighbour.
                edge = [slice(None)] * home.ndim
                edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
                moved[tuple(edge)] = -1
                grown = np.where(grown < 0, moved, grown)
        home = grown
    return home.ravel()
