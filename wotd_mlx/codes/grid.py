"""Where each dictionary entry lies on the grid of IDs: an attribute's values take runs of codes, in their order."""

from __future__ import annotations

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


def cut(group: Indices, score: NDArray[np.floating], codes: Indices) -> Indices:
    """Order each group's rows by score and cut them into ``codes`` runs as equal as can be: (N,) ×3 -> codes (N,)."""
    order = np.lexsort((score, group))
    sizes = np.bincount(group)
    position = np.empty(len(group), np.int64)
    position[order] = np.arange(len(group)) - (np.cumsum(sizes) - sizes)[group[order]]
    return position * codes // sizes[group]


def lay_out(levels: Sequence[int], values: Indices, scores: NDArray[np.floating], shares: Sequence[Indices]) -> Indices:
    """Coordinates (N, Q − 1) of N entries on all levels but the last, which tells entries of one cell apart.

    Coordinate q of an attribute is the run of codes that its value owns, and within the run the entries with the same
    values of all attributes go by score into equal parts; so a cell holds as many entries as any other of its kind.

    Args:
        levels: Q of them.
        values: (N, A) the number of each entry's value.
        scores: (N, Q − 1 or more) what orders entries along each coordinate.
        shares: codes a value for each attribute, from :func:`allocate`.
    """
    kinds = np.unique(values, axis=0, return_inverse=True)[1].ravel() if values.shape[1] else np.zeros(len(values), int)
    cell, grid = kinds, np.zeros((len(values), len(levels) - 1), np.int64)
    for q in range(len(levels) - 1):
        if q < len(shares):
            first = np.cumsum(shares[q]) - shares[q]
            grid[:, q] = first[values[:, q]] + cut(cell, scores[:, q], shares[q][values[:, q]])
        else:
            grid[:, q] = cut(cell, scores[:, q], np.full(len(values), levels[q]))
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
