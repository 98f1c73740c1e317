"""A grid of few bits a column that a dictionary's entries are rounded to, so that an app holds them in little room."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors

# Columns up to which each has a byte: there is nothing to save.
NARROW = 64
# What a step spans at most of a Gaussian column, in standard deviations: all 2^bits steps to either side of zero. The
# least squared error is at 2.7 for 4 bits; words have longer tails than Gaussians, so that 8 bits reach farther.
_REACH = {8: 4.0, 4: 2.7}
# Squared errors there, as parts of the column's variance: by rounding, (2 reach / 2^bits)² / 12, and by the cut.
_ERROR = {8: 9e-5, 4: 0.0117}
# Bits that a step has, so that each odd multiple of its half is a float16 of 11: those of the multiple are the rest.
_SIGNIFICANT = {8: 3, 4: 7}
# Below it such multiples are no float16, and the column is next to nothing.
_SMALLEST = 2.0**-16


@dataclass(frozen=True)
class Lattice:
    r"""Values :math:`(k + ½)\,s_j` with whole k: of 8 bits in the first columns, of 4 in the next, 0 in the last.

    Every value is exact in float16.

    Args:
        steps: (W,) s; 0 for a column that is 0 throughout.
        eight: how many columns have 8 bits.
        four: how many have 4, an even number.
    """

    steps: Vectors
    eight: int
    four: int

    @classmethod
    def of(cls, rows: Vectors) -> Lattice:
        """The lattice with the least error of rows (M, W), whose columns stand by falling variance, in
        :func:`bytes_an_entry` a row."""
        squares = (rows.astype(np.float64) ** 2).mean(axis=0)
        eight, four = _split(squares, bytes_an_entry(rows.shape[1]))
        bits = np.repeat([8, 4, 0], [eight, four, rows.shape[1] - eight - four])
        steps = [_step(math.sqrt(square), int(b)) if b else 0.0 for square, b in zip(squares, bits, strict=True)]
        return cls(np.array(steps, np.float32), eight, four)

    @property
    def kept(self) -> int:
        """How many columns aren't 0 for want of bits."""
        return self.eight + self.four

    def numbers(self, rows: Vectors) -> NDArray[np.int8]:
        """rows (M, W) -> the k of the nearest values, (M, kept)."""
        steps = self.steps[: self.kept]
        far = np.array([128.0] * self.eight + [8.0] * self.four)
        whole = np.floor(rows[:, : self.kept].astype(np.float64) / np.where(steps > 0, steps, np.inf))
        return np.clip(whole, -far, far - 1).astype(np.int8)

    def values(self, numbers: NDArray[np.int8]) -> Vectors:
        """k (M, kept) -> values (M, W)."""
        out = np.zeros((len(numbers), len(self.steps)), np.float32)
        out[:, : self.kept] = (numbers + np.float32(0.5)) * self.steps[: self.kept]
        return out

    def rounded(self, rows: Vectors) -> Vectors:
        """rows (M, W) -> their nearest values (M, W)."""
        return self.values(self.numbers(rows))


def bytes_an_entry(width: int) -> int:
    """What a row of so many columns takes."""
    return width if width <= NARROW else width * 25 // 48


def _split(squares: NDArray[np.float64], size: int) -> tuple[int, int]:
    """How many columns with these mean squares (W,) get 8 and 4 bits within ``size`` bytes, for the least error."""
    width = len(squares)
    sums = np.concatenate([[0.0], squares.cumsum()])

    def error(eight: int) -> float:
        kept = eight + _fours(eight, width, size)
        return float(_ERROR[8] * sums[eight] + _ERROR[4] * (sums[kept] - sums[eight]) + sums[-1] - sums[kept])

    # The last of equals: where nothing differs, as many whole bytes as there is room for.
    eight = min(range(min(width, size), -1, -1), key=error)
    return eight, _fours(eight, width, size)


def _fours(eight: int, width: int, size: int) -> int:
    return min((width - eight) // 2 * 2, 2 * (size - eight))


def _step(deviation: float, bits: int) -> float:
    step = 2 * _REACH[bits] * deviation / 2**bits
    if not step >= _SMALLEST:
        return 0.0
    fraction, exponent = math.frexp(step)
    return math.ldexp(round(math.ldexp(fraction, _SIGNIFICANT[bits])), exponent - _SIGNIFICANT[bits])
