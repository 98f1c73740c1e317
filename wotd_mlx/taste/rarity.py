"""Which words a person knows already, as far as they said so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors

_MEAN, _SPREAD = 4.5, 0.5
"""Of the zipf above which words are known, before anything was said: some thirty uses in a million words."""
_STEEP = 3.0
"""How sharply knowing sets in, a zipf."""
_HINT = 0.25
"""What a word that was voted on otherwise counts as not known: those who like a word may have known it."""
_GRID = np.linspace(0.0, 8.0, 161)


class Known:
    r"""The probability that a person knows a word, by how often it is used.

    .. math:: p(\text{known} \mid z) = E_\theta\,\sigma(3 (z - \theta)), \quad \theta \sim \mathcal N(4.5, 0.5^2)
        \text{ given the votes}

    Args:
        known: zipf of the words that the person said they knew.
        others: zipf of the words on which they voted otherwise.
    """

    def __init__(self, known: Sequence[float] = (), others: Sequence[float] = ()):
        odds = -((_GRID - _MEAN) ** 2) / (2 * _SPREAD**2)
        for zipf in known:
            odds = odds + _log_sigmoid(_STEEP * (zipf - _GRID))
        for zipf in others:
            odds = odds + _HINT * _log_sigmoid(_STEEP * (_GRID - zipf))
        chance = np.exp(odds - odds.max())
        self._chance: NDArray[np.float64] = chance / chance.sum()

    @property
    def above(self) -> float:
        """The zipf above which a word is likelier known than not."""
        return float(self._chance @ _GRID)

    def __call__(self, zipf: Vectors) -> NDArray[np.float64]:
        """zipf (M,) -> the probability (M,) that each is known."""
        return np.exp(_log_sigmoid(_STEEP * (np.asarray(zipf, np.float64)[:, None] - _GRID))) @ self._chance


def _log_sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.logaddexp(0, -x)
