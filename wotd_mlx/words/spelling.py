"""Whether a text is spelt as words are: nonsense, pictures and other scripts are nothing to make predictions of."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.words.normal import normal

_EDGE = "\n"
"""Stands before and behind a word."""
_SPELT = 0.998
"""Of known words, the share that counts as spelt like a word."""
_PRIOR = 2.0
"""How many letters' worth the shorter context counts."""


class Spelling:
    r"""How likely the letters of a text are, each after the two before it, by the words that are known.

    .. math:: p(c \mid ab) = \frac{n(abc) + k\,p(c \mid b)}{n(ab) + k}, \quad
        p(c \mid b) = \frac{n(bc) + k\,p(c)}{n(b) + k}, \quad p(c) = \frac{n(c) + 1}{n + V}

    A word is surprising where the mean of :math:`-\log_2 p` over its letters and its end is above that of all but two
    in a thousand known words, each judged by the others.

    Args:
        words: N known words, in normal form.
    Reference:
        Interpolation with a Dirichlet prior: MacKay and Peto 1995, doi 10.1017/S1351324900000218.
    """

    def __init__(self, words: Sequence[str]):
        self._known = frozenset(words)
        words = [_plain(word) for word in words]
        joined = np.frombuffer((_EDGE * 2).join(["", *words, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
        letters, numbers = np.unique(joined, return_inverse=True)
        self._number = {chr(letter): n for n, letter in enumerate(letters.tolist())}
        size = self._size = len(letters) + 1  # and one for those never seen
        codes = numbers.astype(np.int64)
        self._pairs = _Counts(codes[:-1] * size + codes[1:])
        self._triples = _Counts((codes[:-2] * size + codes[1:-1]) * size + codes[2:])
        self._single = np.bincount(codes, minlength=size)
        self._limit = self._quantile(codes, [len(word) + 1 for word in words]) if words else 0.0

    def _quantile(self, codes: NDArray[np.int64], lengths: Sequence[int]) -> float:
        """What all but few of the known words stay below, each judged by the others."""
        edge = codes == self._number[_EDGE]
        counted = ~(edge[1:-1] & edge[2:])  # the second mark between two words is no letter, nor an end
        bits = self._bits(codes[:-2], codes[1:-1], codes[2:], own=1)[counted]
        means = np.add.reduceat(bits, np.cumsum([0, *lengths[:-1]])) / lengths
        return float(np.quantile(means, _SPELT))

    def surprise(self, word: str) -> float:
        """Mean bits a letter, the end counted too."""
        codes = np.array([self._number.get(c, self._size - 1) for c in f"{_EDGE * 2}{_plain(word)}{_EDGE}"], np.int64)
        return float(self._bits(codes[:-2], codes[1:-1], codes[2:]).mean())

    def _bits(
        self, a: NDArray[np.int64], b: NDArray[np.int64], c: NDArray[np.int64], own: int = 0
    ) -> NDArray[np.float64]:
        """Bits of letter c after a and b (M,), ``own`` of their occurrences left out of all counts."""
        one = (self._single[c] + 1 - own) / (self._single.sum() + self._size)
        two = (self._pairs(b * self._size + c) - own + _PRIOR * one) / (self._single[b] - own + _PRIOR)
        three = self._triples((a * self._size + b) * self._size + c) - own
        shares: NDArray[np.float64] = (three + _PRIOR * two) / (self._pairs(a * self._size + b) - own + _PRIOR)
        return -np.log2(shares)

    def is_word(self, text: str) -> bool:
        """Tell whether half of a text's parts or more are known, or spelt as known words are; False for none."""
        parts = ["".join(c for c in part if c.isalpha()) for part in normal(text).replace("-", " ").split()]
        spelt = [
            bool(part and self._known) and (part in self._known or self.surprise(part) <= self._limit) for part in parts
        ]
        return bool(spelt) and 2 * sum(spelt) >= len(spelt)


def _plain(word: str) -> str:
    """A word without marks on its letters, which few known words have."""
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


class _Counts:
    """How often each number occurs, looked up for many at once."""

    def __init__(self, numbers: NDArray[np.int64]):
        self._values, self._counts = np.unique(numbers, return_counts=True)

    def __call__(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        at = np.minimum(np.searchsorted(self._values, numbers), len(self._values) - 1)
        found: NDArray[np.int64] = np.where(self._values[at] == numbers, self._counts[at], 0)
        return found
