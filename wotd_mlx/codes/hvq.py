"""Hierarchical vector quantisation: coarse to fine, each level's codebook belongs to the code chosen above it."""

from __future__ import annotations

import mlx.core as mx

from wotd_mlx.codes.rvq import RVQ


class HVQ(RVQ):
    r"""RVQ whose level q has one codebook for each code of level q − 1.

    .. math:: k_q = \arg\min_k \lVert r_q - e_{q,\,k_{q-1},\,k} \rVert^2

    The first number is a coarse cluster; each next one refines within the cluster above, at the same bits as RVQ and
    ``levels[q - 1]`` times its codebook memory.

    Shape:
        as :class:`RVQ`; codebook q is (K of level q − 1, K, W).
    Reference:
        The coarse-to-fine hierarchy is Razavi et al. 2019, arXiv 1906.00446; codebooks that depend on the codes before
        are Huijben et al. 2024, arXiv 2401.14732, here as a table in place of a network.
    """

    def parents(self, level: int) -> int:
        return 1 if level == 0 else self.levels[level - 1]

    def parent(self, ids: list[mx.array]) -> mx.array | None:
        return ids[-1] if ids else None
