"""Vectors of unit length in few bytes: compared with a query, or read row by row, without unpacking all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.schemas import WotdError

_CODES = 256
_CHUNK = 1024
"""Rows that are unpacked at once: what they take fits a processor's cache, and takes a fifth of the time."""


class Packed(Protocol):
    """N vectors (N, D) of unit length, however they are stored."""

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        ...

    def rows(self, numbers: Indices) -> Embeddings:
        """Row numbers (n,) -> their vectors (n, D), of unit length."""
        ...

    def cosines(self, query: Embeddings) -> Embeddings:
        """A query (D,) of unit length -> its cosine with every vector (N,)."""
        ...


@dataclass(frozen=True)
class Int8Rows:
    r"""A byte a number; a row's scale isn't stored, since its length is known to be 1.

    .. math:: \hat v = c / \lVert c \rVert, \quad c = \mathrm{round}(127\, v / \max_d |v_d|)
    """

    codes: NDArray[np.int8]

    @classmethod
    def of(cls, vectors: Embeddings) -> Int8Rows:
        """Vectors (N, D), none of them zero.

        Raises:
            WotdError: a row that is zero or not finite.
        """
        largest = np.abs(vectors).max(axis=1, initial=0)
        if len(wrong := np.flatnonzero(~((largest > 0) & np.isfinite(largest)))):
            raise WotdError(f"vector {wrong[0]} of {len(vectors)} is zero or not finite; expected unit length")
        return cls(np.rint(vectors * (127 / largest[:, None])).astype(np.int8))

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        n, d = self.codes.shape
        return n, d

    def rows(self, numbers: Indices) -> Embeddings:
        """Row numbers (n,) -> their vectors (n, D), of unit length."""
        out = self.codes[numbers].astype(np.float32)
        out /= _lengths(out)[:, None]
        return out

    def cosines(self, query: Embeddings) -> Embeddings:
        """A query (D,) of unit length -> its cosine with every vector (N,)."""
        out = np.empty(len(self.codes), np.float32)
        for start in range(0, len(out), _CHUNK):
            part = self.codes[start : start + _CHUNK].astype(np.float32)
            out[start : start + _CHUNK] = (part @ query) / _lengths(part)
        return out


@dataclass(frozen=True)
class Books:
    r"""M codebooks of 256 codes each, in the d directions in which vectors differ most.

    .. math:: e_{m,k} = \mathrm{scale}_m\, c_{m,k}, \quad c \in \{-127 \dots 127\}^d

    Args:
        codes: (M, 256, d) int8.
        scales: (M,) float32.
        back: (d, D) float16, orthonormal rows.

    Raises:
        WotdError: shapes that don't fit each other, or numbers that aren't finite.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    back: NDArray[np.float16]

    def __post_init__(self) -> None:
        if self.codes.ndim != 3 or self.codes.shape[1] != _CODES or self.scales.shape != self.codes.shape[:1]:
            raise WotdError(f"codebooks of shape {self.codes.shape} with {self.scales.shape} scales don't fit")
        if self.back.ndim != 2 or len(self.back) != self.codes.shape[2]:
            raise WotdError(f"directions of shape {self.back.shape} don't fit codes of width {self.codes.shape[2]}")
        if not (np.isfinite(self.scales).all() and np.isfinite(self.back).all()):
            raise WotdError("codebooks hold numbers that aren't finite")

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(M, 256, d)."""
        return self.codes.astype(np.float32) * self.scales[:, None, None]


@dataclass(frozen=True)
class AdditiveRows:
    r"""A byte a codebook: each vector is the sum of one code of each of the first Q codebooks.

    .. math:: \hat v = \Bigl(\sum_m e_{m, c_m}\Bigr) B

    The sum is shorter than the vector, by as much as isn't known of it: its product with a query is the best guess of
    their cosine, and no length has to be stored.

    Args:
        codes: (N, Q) uint8.
        books: at least Q codebooks, which several tables may share.

    Raises:
        WotdError: more codes a row than codebooks.
    """

    codes: NDArray[np.uint8]
    books: Books

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or not 0 < self.codes.shape[1] <= len(self.books.codes):
            raise WotdError(f"rows of codes {self.codes.shape} don't fit {len(self.books.codes)} codebooks")

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self.codes), self.books.back.shape[1]

    def rows(self, numbers: Indices) -> Embeddings:
        """Row numbers (n,) -> their vectors (n, D), of unit length."""
        total = np.zeros((len(numbers), self.books.back.shape[0]), np.float32)
        for book, codes in zip(self.books.values, self.codes[numbers].T, strict=False):
            total += book[codes]
        out = total @ self.books.back.astype(np.float32)
        out /= _lengths(out)[:, None]
        return out

    def cosines(self, query: Embeddings) -> Embeddings:
        """A query (D,) of unit length -> its cosine with every vector (N,), as far as it is known."""
        along = self.books.values @ (self.books.back.astype(np.float32) @ query)
        out = np.zeros(len(self.codes), np.float32)
        for table, codes in zip(along, self.codes.T, strict=False):
            out += table[codes]
        return out


def _lengths(rows: Embeddings) -> Embeddings:
    """rows (N, D) -> their lengths (N,).

    Raises:
        WotdError: one is zero.
    """
    lengths: Embeddings = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if not lengths.all():
        raise WotdError("a stored vector is zero; expected unit length")
    return lengths
