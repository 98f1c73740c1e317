"""The directions in which vectors differ most, and the rotation that brings them nearest to their signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors

_ROUNDS = 50
"""Rounds of signs and rotation; later ones no longer change a bit in a thousand."""
_ROWS = 20_000
"""Vectors that a rotation is found on, at most."""


def principal_axes(z: Vectors, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """z (N, W), centred -> the ``count`` largest variances (count,), and their axes (W, count)."""
    variances, axes = np.linalg.eigh((z.T @ z / max(len(z), 1)).astype(np.float64))
    top = axes[:, ::-1][:, :count]
    # An eigenvector's sign is arbitrary and differs between LAPACKs: the largest entry is made positive.
    return variances[::-1][:count], top * np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])


def turned_axes(z: Vectors, bits: int, whiten: float, seed: int) -> Vectors:
    r"""Directions A (W, bits) for the signs of z (N, W): principal axes, scaled, and turned.

    .. math:: A = V \Lambda^{-\mathrm{whiten}/2} R, \quad
        R = \arg\min_{R R^\top = I} \lVert z A - \mathrm{sign}(z A) \rVert^2

    Args:
        whiten: 1 for an equal say of all axes, 0 for the space as it is.
    Reference:
        The rotation is found as ITQ finds it: Gong and Lazebnik, CVPR 2011.
    """
    variances, top = principal_axes(z, min(bits, z.shape[1]))
    top = top * np.maximum(variances, 1e-12) ** (-whiten / 2)
    rng = np.random.default_rng(seed)
    along = (z[rng.choice(len(z), _ROWS, replace=False)] if len(z) > _ROWS else z) @ top
    turn = np.linalg.qr(rng.normal(size=(bits, bits)))[0][: top.shape[1]]
    for _ in range(_ROUNDS):
        turn = nearest_rotation(along.T @ np.sign(along @ turn))
    return np.asarray(top @ turn, np.float32)


def nearest_rotation(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """a (M, N) -> the matrix of orthonormal rows, or columns, nearest to it: Procrustes' answer."""
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return np.asarray(u @ v)
