"""``words.wotd``: what an app looks up in a bundle, in one file that it maps and reads where it needs it.

Everything is little-endian, and every part starts at a multiple of 16 bytes, with zeros before it::

    0   "WOTDTABL"
    8   uint32 ×8: version, words N, coordinates Q, bytes of an ID's number (2 or 4), vectors M, dimensions D,
        pieces P, zero
    40  uint64 ×2: bytes of the words' texts, bytes of the pieces' texts
        uint32 (N)     where each word's text ends among the words' texts
        bytes          the words' normal forms in UTF-8, ascending by their bytes
        uint16|32 (N, Q)  their IDs
        uint32 (M)     ascending, which words have a vector
        float32 (M)    what a vector's numbers are multiplied by, so that its length is 1
        int8 (M, D)    the vectors
        uint32 (P)     where each piece's text ends among the pieces' texts
        bytes          the tokenizer's pieces in UTF-8, ascending by their bytes
        uint32 (P)     their token numbers
        uint32         Adler-32 of all before it

A text is found by its bytes: the words that start with the first, of those the ones with the second, and so on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.export.mapped import joined
from wotd_mlx.schemas import WotdError

MAGIC, VERSION = b"WOTDTABL", 1
FILE = "words.wotd"
_LARGEST = 1 << 31
"""Bytes of a file: a phone maps no more at once."""


@dataclass(frozen=True)
class Table:
    """What goes into the file.

    Args:
        words: (N,) normal forms, all different.
        ids: (N, Q) their IDs.
        own: (M,) the rows of the words that others are compared with.
        vectors: (M, D) their vectors, of any length but zero.
        pieces: the tokenizer's pieces → their token numbers.

    Raises:
        WotdError: parts that don't fit each other, or a text that isn't Unicode or comes twice.
    """

    words: Sequence[str]
    ids: NDArray[np.integer]
    own: Sequence[int]
    vectors: Embeddings
    pieces: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m = len(self.words), len(self.own)
        if self.ids.ndim != 2 or len(self.ids) != n or self.vectors.ndim != 2 or len(self.vectors) != m:
            shapes = f"IDs {self.ids.shape} and vectors {self.vectors.shape}"
            raise WotdError(f"word table: {shapes} don't fit {n} words, {m} with vectors")
        if len(set(self.words)) < n or len(set(self.own)) < m or not set(self.own) <= set(range(n)):
            raise WotdError("word table: a word, or a row with a vector, comes twice or isn't there")
        if not 1 <= self.ids.shape[1] <= 255 or not 1 <= self.vectors.shape[1] <= 65535:
            raise WotdError(f"word table: {self.ids.shape[1]} coordinates of {self.vectors.shape[1]} dimensions")
        if self.ids.min(initial=0) < 0 or self.ids.max(initial=0) >= _LARGEST:
            raise WotdError("word table: an ID has a number below 0 or beyond 31 bits")

    def encoded(self) -> bytes:
        """The file's bytes."""
        order = _by_bytes(self.words)
        row_of = np.argsort(order)  # where each word went
        own = row_of[np.asarray(self.own, np.int64)]
        ascending = np.argsort(own)
        codes = Int8Rows.of(self.vectors[ascending]).codes
        width = 2 if self.ids.max(initial=0) < 1 << 16 else 4
        pieces, numbers = list(self.pieces), np.array(list(self.pieces.values()), "<u4")
        piece_order = _by_bytes(pieces)
        word_ends, word_texts = _texts([self.words[row] for row in order])
        piece_ends, piece_texts = _texts([pieces[row] for row in piece_order])
        counts = (len(self.words), self.ids.shape[1], width, len(own), self.vectors.shape[1], len(pieces), 0)
        head = MAGIC + struct.pack("<8I2Q", VERSION, *counts, len(word_texts), len(piece_texts))
        parts = [
            *(word_ends, word_texts, self.ids[order].astype(f"<u{width}"), own[ascending].astype("<u4")),
            *((1 / np.linalg.norm(codes.astype(np.float64), axis=1)).astype("<f4"), codes),
            *(piece_ends, piece_texts, numbers[piece_order]),
        ]
        file = joined(head, parts)
        if len(file) >= _LARGEST:
            raise WotdError(f"word table: {len(file):,} bytes, an app maps less than {_LARGEST:,}; export fewer words")
        return file


def _by_bytes(texts: Sequence[str]) -> NDArray[np.int64]:
    """The rows of texts in the order of their bytes in UTF-8."""
    try:
        keys = [text.encode() for text in texts]
    except UnicodeEncodeError as error:
        raise WotdError(f"word table: {error.object!r} holds half a surrogate pair") from error
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _texts(texts: Sequence[str]) -> tuple[NDArray[np.uint32], bytes]:
    """Where each text ends among all of them, and all of them, one after the other."""
    keys = [text.encode() for text in texts]
    return np.cumsum([len(key) for key in keys], dtype=np.int64).astype("<u4"), b"".join(keys)
