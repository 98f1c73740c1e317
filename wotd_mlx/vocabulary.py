"""The words that answer: those of a run, or, before anything was trained, those that the package ships."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings
from wotd_mlx.encoder import Reading, SemanticEncoder
from wotd_mlx.find import Found, find, short
from wotd_mlx.known import FILE, KNOWN, KnownWords
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import MissingError, Word
from wotd_mlx.words.difficulty import TYPICAL_ZIPF
from wotd_mlx.words.jsonl import find_word
from wotd_mlx.words.normal import normal

if TYPE_CHECKING:
    from wotd_mlx.words.dictionary import Dictionary

log = logging.getLogger("wotd_mlx")

SHIPPED = Path(__file__).parent / "words" / "data" / FILE
DEFAULT_RUN = "runs/default"


class Vocabulary:
    """Known words, and what is needed to answer with them.

    >>> words = Vocabulary.open()
    >>> words.find("pleasing to the ear")[0].word

    Args:
        known: the table.
        name: what the answers are from, for people.
        coder: the run, which also predicts; None for the package's own table, which doesn't.
    """

    def __init__(self, known: KnownWords, name: str, coder: SemanticEncoder | None = None):
        self.known, self.name, self.coder = known, name, coder

    @classmethod
    def open(cls, run: str | Path | None = None, encoder: str = "teacher") -> Vocabulary:
        """The words of a run.

        Args:
            run: its folder; None for ``runs/default``, or, where nothing was trained there, the package's words.
            encoder: what predicts, see :meth:`SemanticEncoder.load`.

        Raises:
            WotdError: no such run, one that isn't finished, or a damaged file.
        """
        if run is None and not RunFolder(DEFAULT_RUN).model.exists() and SHIPPED.exists():
            known = KnownWords.read(SHIPPED, "reinstall wotd-mlx")
            return cls(known, f"the {len(known):,} words that the package ships")
        coder = SemanticEncoder.load(run or DEFAULT_RUN, encoder)
        return cls.of(coder)

    @classmethod
    def of(cls, coder: SemanticEncoder) -> Vocabulary:
        """The words of a run that is open already."""
        return cls(coder.known, str(coder.run.path), coder)

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """texts (N,) -> what is known of each, or predicted.

        Raises:
            WotdError: a text that isn't known, where there is no run to predict with.
        """
        if self.coder is not None:
            return self.coder.read(texts)
        return [self._shipped(text) for text in texts]

    def _shipped(self, text: str) -> Reading:
        row = self.known.row(text)
        if row is None:
            raise MissingError(
                f"{text[:60]!r} is none of {self.name}; train a run, which predicts any text, with `wotd-mlx train`"
            )
        return Reading(text, self.known.id_of(row), *self.known.labels_of(row), KNOWN, False, None)

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """texts (N,) -> (N, D), by the model that embedded the table's glosses."""
        if self.coder is not None:
            return self.coder.embedder.embed(texts)
        from wotd_mlx.embed.embedder import BertEmbedder

        return BertEmbedder(self.known.embedding, download=False).embed(texts)

    @cached_property
    def dictionary(self) -> Dictionary | None:
        """The dictionary of this machine; one log line tells what is lost without."""
        from wotd_mlx.words.dictionary import load_dictionary

        found = load_dictionary()
        if self.known.glosses and self.known.glosses != found.digest:
            log.warning(
                "%s: made with another dictionary; a word's first gloss stands for all of its senses", self.name
            )
        return found

    def word(self, text: str) -> Word | None:
        """A known word with the evidence behind its labels, from the run's corpus or the package's tables."""
        if self.coder is not None:
            return find_word(self.coder.run.corpus, text)
        from wotd_mlx.words.builtin import load_builtin

        corpus, wanted = load_builtin(), normal(text)
        return next((word for word in (*corpus.words, *corpus.lexicon) if word.text == wanted), None)

    @cached_property
    def zipf(self) -> NDArray[np.float32]:
        """(N,) how often each known word is used today, the logarithm of uses in a thousand million words; by its
        class of difficulty where nobody counted."""
        from wotd_mlx.words.builtin import load_builtin

        corpus = load_builtin()
        counted = {word.text: word.zipf for word in (*corpus.words, *corpus.lexicon) if word.zipf is not None}
        classes = zip(self.known.words, self.known.difficulty.tolist(), strict=True)
        return np.array([counted.get(word, TYPICAL_ZIPF[level]) for word, level in classes], np.float32)

    def gloss(self, word: str) -> str | None:
        """The first gloss of a word, as it stands beside it; None where the dictionary has none."""
        found = self.dictionary.glosses(word, 1) if self.dictionary is not None else ()
        return short(found[0]) if found else None

    def find(
        self, description: str, n: int = 10, *, values: Mapping[str, str] | None = None, difficulty: int | None = None
    ) -> list[Found]:
        """The words that a description means, see :func:`wotd_mlx.find.find`."""
        return find(
            self.known,
            self.embed,
            description,
            n,
            values=values,
            difficulty=difficulty,
            dictionary=self.dictionary,
        )
