"""The way from one vector to another along the unit sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


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
