"""Pairs of texts that mean the same, drawn from a dictionary."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.words.families import family

Draw = np.random.Generator


@dataclass(frozen=True)
class Thesaurus:
    """What a dictionary says of words: their glosses, the most usual first, and their antonyms.

    Words with one and the same gloss are synonyms: a synset has one gloss.
    """

    glosses: Mapping[str, Sequence[str]]
    antonyms: Mapping[str, Sequence[str]]


class Batch(NamedTuple):
    """N queries, M ≥ N documents of which the i-th belongs to the i-th query, and what else is no stranger to it."""

    queries: list[str]
    documents: list[str]
    alike: NDArray[np.bool_]
    """(N, M): query and document have a word or a synset in common; True on the diagonal."""


def is_held_out(word: str, share: float) -> bool:
    """Whether a word's family is kept from training: by its checksum, so that it is the same wherever it is asked."""
    return zlib.crc32(family(word).encode()) % 1000 < 1000 * share


class Pairs:
    """Draws pairs of the words whose families aren't held out; no gloss that a held-out word has is among them.

    Args:
        held_out: share of the families.
        senses: glosses of a word that are looked at.
        shortened: share of the glosses of which only a part is kept, as a person's description of a word is less than a
            dictionary's.
        antonyms: how many antonyms stand beside N synonyms, as a share of N.
    """

    def __init__(self, thesaurus: Thesaurus, held_out: float, senses: int, shortened: float, antonyms: float):
        self.shortened, self.antonyms_share = shortened, antonyms
        hidden = {word for word in thesaurus.glosses if is_held_out(word, held_out)}
        secret = {gloss for word in hidden for gloss in thesaurus.glosses[word]}
        kept = {
            word: [gloss for gloss in dict.fromkeys(glosses) if gloss not in secret][:senses]
            for word, glosses in thesaurus.glosses.items()
            if word not in hidden
        }
        self.glosses = {word: glosses for word, glosses in kept.items() if glosses}
        self.words = sorted(self.glosses)
        self.members: dict[str, list[str]] = {}
        for word in self.words:
            for gloss in self.glosses[word]:
                self.members.setdefault(gloss, []).append(word)
        self.antonyms = {
            word: [other for other in others if other in self.glosses]
            for word, others in thesaurus.antonyms.items()
            if word in self.glosses
        }
        self.shared = [gloss for gloss, words in self.members.items() if len(words) > 1]
        self.opposed = [gloss for gloss in self.shared if any(self.antonyms.get(word) for word in self.members[gloss])]

    def draw(self, kind: str, count: int, rng: Draw) -> Batch:
        """``count`` pairs of a kind, as :class:`~wotd_mlx.config.tuning.Kinds` names them."""
        return KINDS[kind](self, count, rng)

    def _word_gloss(self, count: int, rng: Draw) -> Batch:
        words = _some(self.words, count, rng)
        glosses = [_one(self.glosses[word], rng) for word in words]
        of_gloss = [self.members[gloss] for gloss in glosses]
        return self._batch(words, _alone(words), [self.shorten(gloss, rng) for gloss in glosses], of_gloss)

    def _synonyms(self, count: int, rng: Draw) -> Batch:
        extra = round(self.antonyms_share * count)
        opposed = _some(self.opposed, min(extra, len(self.opposed)), rng)
        pairs = [_two(self.members[g], rng) for g in (*opposed, *_some(self.shared, count - len(opposed), rng))]
        queries, documents = map(list, zip(*pairs, strict=True))
        against = [other for pair in pairs for word in pair for other in self.antonyms.get(word, ())]
        against = _some(against, min(extra, len(against)), rng)
        documents += [*against, *_some(self.words, extra - len(against), rng)]
        return self._batch(queries, _alone(queries), documents, _alone(documents))

    def _glosses(self, count: int, rng: Draw) -> Batch:
        queries: list[str] = []
        documents: list[str] = []
        of: list[tuple[str, str]] = []
        while len(queries) < count:
            pair = _two(self.members[_one(self.shared, rng)], rng)
            one, other = (_one(self.glosses[word], rng) for word in pair)
            if one != other:
                queries.append(self.shorten(one, rng))
                documents.append(self.shorten(other, rng))
                of.append(pair)
        return self._batch(queries, of, documents, of)

    def _named(self, count: int, rng: Draw) -> Batch:
        glosses = _some(self.shared, count, rng)
        pairs = [_two(self.members[gloss], rng) for gloss in glosses]
        queries = [f"{word}: {gloss}" for (word, _), gloss in zip(pairs, glosses, strict=True)]
        documents = [other for _, other in pairs]
        return self._batch(queries, [self.members[gloss] for gloss in glosses], documents, _alone(documents))

    def shorten(self, gloss: str, rng: Draw) -> str:
        """A run of at least a third of the gloss's words, or all of it."""
        words = gloss.split()
        if len(words) < 4 or rng.random() >= self.shortened:
            return gloss
        length = int(rng.integers(max(2, len(words) // 3), len(words)))
        start = int(rng.integers(0, len(words) - length + 1))
        return " ".join(words[start : start + length])

    def _batch(
        self,
        queries: list[str],
        of_query: Sequence[Sequence[str]],
        documents: list[str],
        of_document: Sequence[Sequence[str]],
    ) -> Batch:
        """Texts, and of which words each tells."""
        alike = np.zeros((len(queries), len(documents)), np.bool_)
        found: dict[str, list[int]] = {}
        for j, words in enumerate(of_document):
            for key in self._keys(words):
                found.setdefault(key, []).append(j)
        for i, words in enumerate(of_query):
            for key in self._keys(words):
                alike[i, found.get(key, [])] = True
        np.fill_diagonal(alike, True)
        return Batch(queries, documents, alike)

    def _keys(self, words: Sequence[str]) -> set[str]:
        return {key for word in words for key in (word, *self.glosses[word])}


KINDS: dict[str, Callable[[Pairs, int, Draw], Batch]] = {
    "word_gloss": Pairs._word_gloss,
    "synonyms": Pairs._synonyms,
    "glosses": Pairs._glosses,
    "named": Pairs._named,
}


def _alone(words: Sequence[str]) -> list[list[str]]:
    return [[word] for word in words]


def _some(of: Sequence[str], count: int, rng: Draw) -> list[str]:
    """Different ones, at random."""
    return [of[i] for i in rng.choice(len(of), count, replace=False)] if count else []


def _one(of: Sequence[str], rng: Draw) -> str:
    return of[int(rng.integers(len(of)))]


def _two(of: Sequence[str], rng: Draw) -> tuple[str, str]:
    a, b = rng.choice(len(of), 2, replace=False)
    return of[a], of[b]
