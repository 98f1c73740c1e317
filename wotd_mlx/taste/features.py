"""What a taste goes by: how alike two words are, in several senses of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors
from wotd_mlx.config.taste import TasteConfig

Rows = NDArray[np.int64]

_STEP = 1 / 8
"""A code's share of a coordinate that is read."""


@dataclass(frozen=True)
class Features:
    """M words as a taste sees them; each kernel tells how alike words are in one sense, 1 for a word and itself or so.

    Args:
        unit: (M, D) vectors less their mean, of unit length.
        glosses: (M, D) those of the words' commonest senses, alike.
        axes: (M, C) principal components, each of variance 1.
        labels: (M, V) the probability of each value of each attribute, less its mean, scaled to a mean length of 1.
        rarity: (M,) zipf: the logarithm of uses in a thousand million words of today.
        config: widths of the kernels.
        codes: (M, Q) each number of the words' IDs, as a share of its coordinate.
        by_codes: go by nothing but the IDs.
    """

    unit: Vectors
    glosses: Vectors
    axes: Vectors
    labels: Vectors
    rarity: Vectors
    config: TasteConfig
    codes: Vectors
    by_codes: bool = False

    @classmethod
    def of(
        cls,
        vectors: Vectors,
        glosses: Vectors,
        labels: Vectors,
        rarity: Vectors,
        codes: Vectors,
        config: TasteConfig,
    ) -> Features:
        """From vectors and those of senses (M, D), probabilities of values (M, V), zipf (M,) and shares of coordinates
        (M, Q)."""
        centred = vectors - vectors.mean(axis=0)
        variances, directions = np.linalg.eigh((centred.T @ centred / len(centred)).astype(np.float64))
        top = slice(-1, -1 - min(config.components, len(variances)), -1)
        scale = np.sqrt(np.maximum(variances[top], 1e-12))
        axes = centred @ (directions[:, top] / scale).astype(np.float32)
        values = labels - labels.mean(axis=0)
        length = float(np.sqrt(np.mean((values**2).sum(axis=1)))) if values.size else 0.0
        told = values / max(length, 1e-12)
        return cls(
            _unit(centred), _unit(glosses - glosses.mean(axis=0)), axes, told, rarity.astype(np.float32), config, codes
        )

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Their names."""
        if self.by_codes:
            return tuple(f"number {q + 1}" for q in range(self.codes.shape[1]))
        near = tuple(f"within {width:g}" for width in self.config.near)
        return (*near, "meaning", f"gloss within {self.config.gloss:g}", "gloss", "tone", "labels", "rarity")

    def alike(self, rows: Rows, others: Rows | None = None) -> dict[str, Vectors]:
        r"""Each kernel between all words, or ``others`` (N,), and ``rows`` (n,): (N, n).

        .. math:: e^{(\cos - 1)/w}, \quad \cos, \quad \tfrac1C a \cdot b, \quad l \cdot m, \quad e^{-(f - g)^2 / 2r^2}

        The first two of words, by several widths w, and of their commonest senses: these tell a topic better, as the
        vector of a word has a part of all its senses and of how it is spelt.

        By codes, for each number of an ID, :math:`e^{-|k - m| / s}`: coordinates run through their values in order.
        """
        some = slice(None) if others is None else others
        if self.by_codes:
            gaps = np.abs(self.codes[some][:, None] - self.codes[rows])
            return {name: np.exp(-gaps[..., q] / np.float32(_STEP)) for q, name in enumerate(self.kernels)}
        cosines = self.unit[some] @ self.unit[rows].T
        senses = self.glosses[some] @ self.glosses[rows].T
        gap = (self.rarity[some][:, None] - self.rarity[rows]) / np.float32(self.config.rarity)
        found = (
            *(np.exp((cosines - 1) / np.float32(width)) for width in self.config.near),
            cosines,
            np.exp((senses - 1) / np.float32(self.config.gloss)),
            senses,
            self.axes[some] @ self.axes[rows].T / np.float32(self.axes.shape[1]),
            self.labels[some] @ self.labels[rows].T,
            np.exp(-(gap**2) / 2),
        )
        return dict(zip(self.kernels, found, strict=True))


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
