"""The words of a run as the language stage sees them: which fit a pattern, and what a pattern stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.known import KnownWords
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.schemas import Attribute, SemanticID, WotdError

Rows = NDArray[np.int64]

_MAX_IDS = 4096
"""Words, or IDs, whose mean stands for a pattern, at most: a free 20-bit pattern fits a million."""


@dataclass(frozen=True)
class WordIndex:
    """The N words that a run knows, with their IDs (N, Q), and the encoder that answers for others."""

    coder: SemanticEncoder

    @classmethod
    def of(cls, coder: SemanticEncoder) -> WordIndex:
        """All words of a run."""
        return cls(coder)

    @property
    def known(self) -> KnownWords:
        """All that is stored of them."""
        return self.coder.known

    @property
    def words(self) -> tuple[str, ...]:
        """Their normal forms."""
        return self.known.words

    @property
    def vectors(self) -> Embeddings:
        """(N, D), of unit length."""
        return self.known.vectors

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """(N, Q), those that :meth:`SemanticEncoder.encode` answers with."""
        return self.known.ids.astype(np.int64)

    @cached_property
    def codes(self) -> str:
        """What tells the run's codes, and the IDs of its words, from others."""
        return digest_of(self.coder.run.model_metadata())

    @property
    def levels(self) -> tuple[int, ...]:
        """Codes of each coordinate."""
        return self.coder.levels

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What the first coordinates mean."""
        return self.coder.config.tied

    @property
    def row(self) -> dict[str, int]:
        """Word → its row."""
        return self.known.row_of

    def embed(self, words: Sequence[str]) -> Embeddings:
        """Words, however they are typed -> their vectors (N, D); those that the run doesn't know are embedded."""
        return self.coder.embed(words)

    def pattern_of(self, values: Sequence[tuple[str, str]]) -> Pattern:
        """The pattern of attributes' values: at each named coordinate the codes that read as the value.

        Raises:
            WotdError: an unknown attribute or value, or one that no code reads as; it lists what there is.
        """
        names = [attribute.name for attribute in self.attributes]
        for name, value in values:
            if name not in names:
                raise WotdError(f"unknown attribute {name!r}; this run has {', '.join(names) or 'none'}")
            there = sorted(set(self.coder.readings[names.index(name)]) - {""})
            if value not in there:
                raise WotdError(f"no code of {name} reads as {value!r}; this run has {', '.join(there)}")
        readings = list(zip(names, self.coder.readings, strict=True))
        return Pattern.reading_as(dict(values), readings, len(self.levels))

    def reads_as(self, values: Sequence[tuple[str, str]]) -> bool:
        """Whether there are codes that read as each of some attributes' values."""
        readings = dict(zip((attribute.name for attribute in self.attributes), self.coder.readings, strict=False))
        return all(value in readings.get(name, ()) for name, value in values)

    def fitting(self, pattern: Pattern) -> Rows:
        """Rows of the words whose ID fits."""
        return np.flatnonzero(pattern.matches(self.ids))

    def target(self, pattern: Pattern) -> Embeddings:
        """What a pattern stands for, (D,) of unit length: the mean of the words whose ID fits, or, where no word's
        does, of what all IDs decode to that fit."""
        rows = self.fitting(pattern)
        return self.centre(rows) if len(rows) else self._decoded_centre(pattern)

    def centre(self, rows: Rows) -> Embeddings:
        """The mean of some rows' vectors, (D,) of unit length; of very many, of an even selection."""
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MAX_IDS)).astype(np.int64)]
        target: Embeddings = unit(self.known.word_rows.rows(chosen).mean(axis=0, keepdims=True))[0]
        return target

    def _decoded_centre(self, pattern: Pattern) -> Embeddings:
        codes = [
            np.array(sorted(field)) if field is not None else np.arange(k)
            for field, k in zip(pattern.fields, self.levels, strict=True)
        ]
        total = int(np.prod([len(c) for c in codes]))
        # Spread evenly over all of them, without ever making the list.
        chosen = np.unravel_index(
            np.linspace(0, total - 1, min(total, _MAX_IDS)).astype(np.int64), [len(c) for c in codes]
        )
        ids = np.stack([c[n] for c, n in zip(codes, chosen, strict=True)], axis=1)
        target: Embeddings = unit(self.coder.decode(ids.tolist()).mean(axis=0, keepdims=True))[0]
        return target

    def cosines(self, vector: Embeddings, rows: Rows | None = None) -> Embeddings:
        """The cosines of a vector (D,) with all words (N,), or with those of some rows."""
        if rows is None or 4 * len(rows) > len(self.words):
            found = self.known.word_rows.cosines(vector)
            return found if rows is None else found[rows]
        return self.known.word_rows.rows(rows) @ vector

    def nearest(self, vector: Embeddings, n: int, among: Rows | None = None) -> Rows:
        """The ``n`` rows whose words are nearest to a vector (D,), nearest first, of all words or of some rows."""
        rows = np.arange(len(self.words)) if among is None else among
        return rows[np.argsort(-self.cosines(vector, among), kind="stable")[:n]]

    def nearest_pattern(self, pattern: Pattern) -> SemanticID:
        """The ID of the word that is nearest, in cosine, to what a pattern stands for."""
        return self.known.id_of(int(self.nearest(self.target(pattern), 1)[0]))
