"""Finite scalar quantisation: each coordinate is bounded and rounded; nothing is learnt."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import straight_through
from wotd_mlx.schemas import Codes


class FSQ(Quantizer):
    r"""Round each of Q scalars to one of ``levels[q]`` values.

    .. math:: \hat z_q = \mathrm{round}\bigl(h_q \tanh(z_q + s_q) - o_q\bigr) / \lfloor l_q / 2 \rfloor

    with :math:`h = (l - 1)(1 + \epsilon)/2`, :math:`o = 1/2` for even :math:`l`, else 0, and
    :math:`s = \mathrm{artanh}(o / h)`, so that zero stays zero.

    Args:
        levels: codes in each coordinate, 2 or more; there are ``prod(levels)`` IDs.
    Shape:
        z (B, Q) -> quantized (B, Q) in [-1, 1], ids (B, Q).
    Reference:
        Mentzer et al. 2023, arXiv 2309.15505, appendix A.1.
    """

    scalar = True

    def __init__(self, levels: Sequence[int], eps: float = 1e-3):
        super().__init__()
        self.levels, self.width = tuple(levels), len(levels)
        L = np.asarray(levels, np.float64)
        half = (L - 1) * (1 + eps) / 2
        offset = np.where(L % 2 == 0, 0.5, 0.0)
        # Underscored, so that MLX does not count them among the parameters.
        self._half, self._offset = mx.array(half, mx.float32), mx.array(offset, mx.float32)
        # With l = 2, offset / half would be exactly 1 and artanh infinite; eps prevents it.
        self._shift = mx.array(np.arctanh(offset / half), mx.float32)
        self._unit = mx.array(L // 2, mx.float32)

    def bound(self, z: mx.array) -> mx.array:
        """z (B, Q) -> the same, bounded so that rounding gives exactly ``levels[q]`` values."""
        return mx.tanh(z + self._shift) * self._half - self._offset

    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        bounded = self.bound(z)
        steps = mx.round(bounded)
        quantized = straight_through(bounded / self._unit, steps / self._unit)
        codes = Codes(quantized, (steps + self._unit).astype(mx.int32), mx.array(0.0))
        return codes, [quantized[:, q : q + 1] for q in range(self.width)]

    def ids_to_codes(self, ids: mx.array) -> mx.array:
        return (ids.astype(mx.float32) - self._unit) / self._unit

    def codes_to_ids(self, quantized: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        """The exact inverse of :meth:`ids_to_codes`: quantized on the grid (B, Q) -> ids (B, Q)."""
        return mx.round((quantized + 1) * self._unit).astype(mx.int32)
