"""Binary codes: signs of directions that were scaled and turned, so that few bits keep who is like whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Vectors
from wotd_mlx.codes.axes import nearest_rotation, turned_axes
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
from wotd_mlx.schemas import Codes

WHITEN = 0.25
"""Between an equal say of all axes, 1, and the space as it is, 0, in which a few large axes set most bits. Chosen on
pairs of sentences that no table is measured on."""

_POWERS = mx.array([1 << n for n in range(8)], mx.int32)


class Binary(Quantizer):
    r"""The signs of a vector's products with K directions; how many differ tells the angle between two vectors.

    .. math:: b = \mathrm{sign}(z A), \quad A = V \Lambda^{-1/8} R, \quad \hat z = c\, b\, U, \quad
        \cos(\hat z, \hat z') = 1 - \tfrac{2}{K}\,\mathrm{hamming}(b, b')

    V are the K largest principal axes, :math:`\Lambda` their variances, and R is the rotation that brings the products
    nearest to their signs. U, orthonormal (K, W), brings signs back with least error, so that decoded vectors lie as
    the bits do. An ID holds eight bits a number: its numbers as bytes are what a Hamming index takes. A whole vector is
    compared with a code by the cosine of its :meth:`products` and the code's :meth:`signs`, which leaves out what K
    directions don't hold.

    Args:
        levels: 256 for each eight bits, and what is left; see :func:`wotd_mlx.config.codes.byte_levels`.
        width: W. Above W bits directions can't be orthogonal any more, and the last equation holds nearly.
    Shape:
        z (B, W) -> ids (B, Q) int32 -> ẑ (B, W).
    Reference:
        Without the scaling this is ITQ: Gong and Lazebnik, CVPR 2011. That signs tell angles: Charikar, STOC 2002.
    """

    learns = False
    whole = True

    def __init__(self, levels: Sequence[int], width: int):
        super().__init__()
        self.levels, self.width = tuple(levels), width
        self.into, self.back = mx.zeros((width, round(self.bits))), mx.zeros((round(self.bits), width))
        self.freeze(recurse=False)

    def stages(self, rows: int) -> int:
        return 1

    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        ids = self.codes_to_ids(z)
        return Codes(straight_through(z, self.ids_to_codes(ids)), ids, mx.array(0.0)), []

    def products(self, z: mx.array) -> mx.array:
        """z (B, W) -> z A (B, K), whose signs are the code."""
        return z @ self.into

    def codes_to_ids(self, vectors: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        bits = (self.products(vectors) > 0).astype(mx.int32)
        bits = mx.pad(bits, [(0, 0), (0, 8 * len(self.levels) - bits.shape[1])])
        return (bits.reshape(len(bits), len(self.levels), 8) * _POWERS).sum(axis=-1).astype(mx.int32)

    def signs(self, ids: mx.array) -> mx.array:
        """ids (B, Q) -> the signs (B, K) that they hold, −1 and 1."""
        bits = ids[..., None] // _POWERS % 2
        return (2 * bits.reshape(len(ids), 8 * len(self.levels))[:, : len(self.back)] - 1).astype(mx.float32)

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        return self.signs(ids) @ self.back

    def start(self, z: Vectors, seed: int, progress: Callable[[int], None] = lambda n: None) -> None:
        """Find the directions for vectors such as z (N, W), centred."""
        into = turned_axes(z, round(self.bits), WHITEN, seed)
        signs = np.where(z @ into > 0, np.float32(1), np.float32(-1))
        back = nearest_rotation(signs.T @ z)
        length = float((z * (signs @ back)).sum() / ((signs @ back) ** 2).sum())
        self.into, self.back = mx.array(into), mx.array(length * back, mx.float32)
        progress(1)
