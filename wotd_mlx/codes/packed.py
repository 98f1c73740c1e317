"""Vectors of unit length in few bytes: compared with a query, or read row by row, without unpacking all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.schemas import WotdError

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
class PlainRows:
    """Vectors (N, D) of unit length as they are."""

    vectors: Embeddings

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        n, d = self.vectors.shape
        return n, d

    def rows(self, numbers: Indices) -> Embeddings:
        """Row numbers (n,) -> their vectors (n, D)."""
        return self.vectors[numbers]

    def cosines(self, query: Embeddings) -> Embeddings:
        """A query (D,) of unit length -> its cosine with every vector (N,)."""
        return self.vectors @ query


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


def _lengths(rows: Embeddings) -> Embeddings:
    """rows (N, D) -> their lengths (N,).

    Raises:
        WotdError: one is zero.
    """
    lengths: Embeddings = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    if not lengths.all():
        raise WotdError("a stored vector is zero; expected unit length")
    return lengths
