"""The vectors that bench_meaning compares: by a run's own model and by the published one, made in three ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wotd_mlx import SemanticEncoder
from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.metrics import unit
from wotd_mlx.codes.split import split_by_family
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.meaning import Meaning, gloss_means, gloss_weights, opposites_of, senses_of, word_vectors
from wotd_mlx.embed.models import find_model
from wotd_mlx.words.dictionary import Dictionary

BARE, GLOSSED, MAPPED = "bare word", "word and glosses", "word through the map"
RECIPES = (BARE, GLOSSED, MAPPED)
PART = 10_000


@dataclass(frozen=True)
class Space:
    """N words by one model: their own embeddings (N, D), those of S senses' glosses (S, D), the row of the word that
    each sense is of (S,), and what makes vectors of the two."""

    coder: SemanticEncoder
    embedder: BertEmbedder
    words: tuple[str, ...]
    bare: Embeddings
    senses: Embeddings
    owner: Indices
    meaning: Meaning
    opposites: list[list[int]]

    @classmethod
    def of_run(cls, coder: SemanticEncoder, more: Sequence[str], dictionary: Dictionary) -> Space:
        """The run's words as the run has them, and ``more`` words, which it doesn't know."""
        known, made, meaning = coder.known, coder.run.read_glosses(), coder.meaning
        if meaning is None:
            raise SystemExit(f"error: {coder.run.path} was trained without glosses; there is nothing to compare")
        texts, owner = sense_texts(dictionary, more, coder)
        embedder = BertEmbedder(coder.config.embedding, cache_of(coder), download=False)
        new = embedder.embed([*more, *texts])
        return cls(
            coder,
            embedder,
            (*known.words, *more),
            np.concatenate([made.bare, new[: len(more)]]),
            np.concatenate([made.senses.rows(np.arange(made.senses.shape[0])), new[len(more) :]]),
            np.concatenate([made.owner, len(known) + owner]),
            meaning,
            opposites_of((*known.words, *more), dictionary.opposites),
        )

    @classmethod
    def plain(cls, coder: SemanticEncoder, more: Sequence[str], dictionary: Dictionary) -> Space | None:
        """The same by the published model that the run's is tuned from, its means and map fitted anew; None where the
        run has the published one itself."""
        base = getattr(find_model(coder.config.embedding), "base", None)
        if not base:
            return None
        words = (*coder.known.words, *more)
        texts, owner = sense_texts(dictionary, words, coder)
        embedder = BertEmbedder(base, cache_of(coder), download=False)
        everything = [*words, *texts]
        # A part at a time: what was embedded stays in the cache if this is stopped.
        parts = [embedder.embed(everything[start : start + PART]) for start in range(0, len(everything), PART)]
        bare, senses = np.split(np.concatenate(parts), [len(words)])
        means, counts = gloss_means(senses, owner, len(words))
        train = split_by_family(coder.known.words, coder.config).train
        taught, settings = train[counts[train] > 0], coder.config.meaning
        meaning = Meaning(embedder.dims, settings.guessed_share)
        meaning.fit(bare[taught], means[taught], settings.ridge)
        return cls(coder, embedder, words, bare, senses, owner, meaning, opposites_of(words, dictionary.opposites))

    @cached_property
    def means(self) -> tuple[Embeddings, Indices]:
        """The mean of each word's glosses (N, D), and how many it has (N,)."""
        return gloss_means(self.senses, self.owner, len(self.words))

    @cached_property
    def weights(self) -> Embeddings:
        """The glosses' part of each word (N,)."""
        return gloss_weights(self.embedder.pieces(self.words), self.coder.config.meaning)

    def vectors(self, recipe: str, meaning: Meaning | None = None) -> Embeddings:
        """All words' vectors (N, D) by a recipe; a word without glosses goes through the map, as in a run."""
        import mlx.core as mx

        meaning = meaning or self.meaning
        if recipe == BARE:
            return unit(self.bare)
        if recipe == MAPPED:
            return np.asarray(meaning(mx.array(self.bare)))
        share = self.coder.config.meaning.opposite_share
        return word_vectors(meaning, self.bare, self.means, self.weights, self.opposites, share)


def sense_texts(dictionary: Dictionary, words: Sequence[str], coder: SemanticEncoder) -> tuple[list[str], Indices]:
    """The texts that stand for words' senses, and the number of the word that each is of."""
    return senses_of(words, lambda word: dictionary.sense_texts(word, coder.config.meaning.senses))


def cache_of(coder: SemanticEncoder) -> EmbeddingCache | None:
    """Where the run's training kept embedded texts; None where it kept none."""
    return EmbeddingCache(Path(coder.config.cache)) if coder.config.cache else None
