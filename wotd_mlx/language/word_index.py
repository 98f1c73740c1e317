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
from wotd_mlx.language.pattern import Pattern
from wotd_mlx.schemas import Attribute, SemanticID, WotdError
from wotd_mlx.words.normal import normal

Rows = NDArray[np.int64]

_MAX_IDS = 4096
"""IDs whose mean stands for a pattern, at most: a free 20-bit pattern fits a million."""


@dataclass(frozen=True)
class WordIndex:
    """N words, their IDs (N, Q) and vectors (N, D) of unit length, and the encoder that gave them.

    The IDs are those that :meth:`SemanticEncoder.encode` answers with: the run's own words have those of
    ``semantic_ids.json``.
    """

    coder: SemanticEncoder
    words: tuple[str, ...]
    ids: NDArray[np.int64]
    vectors: Embeddings

    @classmethod
    def of(cls, coder: SemanticEncoder) -> WordIndex:
        """All words of a run."""
        known = coder.known
        return cls(coder, known.words, known.ids.astype(np.int64), known.vectors)

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
        return self.coder.config.attributes

    @cached_property
    def row(self) -> dict[str, int]:
        """Word → its row."""
        return {word: row for row, word in enumerate(self.words)}

    def embed(self, words: Sequence[str]) -> Embeddings:
        """Words, however they are typed -> their vectors (N, D); those that the run doesn't know are embedded."""
        words = [normal(word) for word in words]
        new = [word for word in words if word not in self.row]
        found = dict(zip(new, unit(self.coder.embed(new)), strict=True)) if new else {}
        return np.stack([self.vectors[self.row[word]] if word in self.row else found[word] for word in words])

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

    def fitting(self, pattern: Pattern) -> Rows:
        """Rows of the words whose ID fits."""
        return np.flatnonzero(pattern.matches(self.ids))

    def target(self, pattern: Pattern) -> Embeddings:
        """What a pattern stands for, (D,) of unit length: the mean of what its words' IDs decode to, or, where no word
        fits, of what all IDs do that fit."""
        ids = np.unique(self.ids[self.fitting(pattern)], axis=0)
        if not len(ids):
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

    def nearest(self, vector: Embeddings, n: int, among: Rows | None = None) -> Rows:
        """The ``n`` rows whose words are nearest to a vector (D,), nearest first, of all words or of some rows."""
        rows = np.arange(len(self.words)) if among is None else among
        return rows[np.argsort(-(self.vectors[rows] @ vector), kind="stable")[:n]]

    def nearest_pattern(self, pattern: Pattern) -> SemanticID:
        """The ID with words that is nearest, in cosine, to what a pattern stands for."""
        ids = np.unique(self.ids, axis=0)
        near = unit(self.coder.decode(ids.tolist())) @ self.target(pattern)
        return SemanticID(ids[int(near.argmax())])
