"""The way from one vector to another along the unit sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors


def slerp(a: Vectors, b: Vectors, alphas: NDArray[np.float64]) -> Vectors:
    r"""Spherical interpolation between unit vectors a (D,) and b (D,) at each of alphas (N,) -> (N, D).

    .. math:: v(\alpha) = \frac{\sin((1-\alpha)\theta)}{\sin\theta}\,a + \frac{\sin(\alpha\theta)}{\sin\theta}\,b,
        \quad \cos\theta = a \cdot b

    Where a and b (almost) agree this is their straight mean; where they are opposite no way is shorter than another,
    and the way through a fixed third direction is taken.

    Reference: Shoemake 1985, "Animating rotation with quaternion curves".
    """
    a, b = (v / np.linalg.norm(v) for v in (a.astype(np.float64), b.astype(np.float64)))
    angle = np.arccos(np.clip(a @ b, -1, 1))
    side = b - (a @ b) * a
    if (length := np.linalg.norm(side)) < 1e-9:
        side = np.eye(len(a))[np.abs(a).argmin()]
        side -= (a @ side) * a
        length = np.linalg.norm(side)
    # The same curve, written as a rotation from a: it divides by no sin θ.
    turned = np.asarray(alphas)[:, None] * angle
    path: Vectors = (np.cos(turned) * a + np.sin(turned) * side / length).astype(np.float32)
    return path


def monotone(toward: NDArray[np.floating], away: NDArray[np.floating]) -> list[int]:
    """Which steps of a way to keep, its first and last among them, so that it never turns back: the most positions with
    ``toward`` (N,) never falling and ``away`` (N,) never rising.

    Raises:
        ValueError: the last position is itself behind the first.
    """
    n = len(toward)
    if toward[-1] < toward[0] or away[-1] > away[0]:
        raise ValueError("the last position is behind the first")
    length, before = np.zeros(n, np.int64), np.full(n, -1)
    length[0] = 1
    for i in range(1, n):
        for j in range(i):
            forward = toward[j] <= toward[i] and away[j] >= away[i]
            if length[j] and forward and length[j] >= length[i]:
                length[i], before[i] = length[j] + 1, j
    kept, at = [], n - 1
    while at >= 0:
        kept.append(at)
        at = int(before[at])
    return kept[::-1]
