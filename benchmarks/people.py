"""Simulated people: whose tastes come from dictionaries, authors and ratings, not from what a taste model sees.

A person likes a set of words. What the works of an author or a period say of words is left out of the labels that the
model is given, where the person's taste is made of those works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.vocabulary import Vocabulary
from wotd_mlx.words.assign import Judge
from wotd_mlx.words.dictionary.wordnet import PARTS, Synset, WordNet, find_wordnet
from wotd_mlx.words.evidence import Evidence, Lean, gather
from wotd_mlx.words.labels import DELTA_MIN, LogOdds
from wotd_mlx.words.reading import Work, read_manifest
from wotd_mlx.words.screen import cefr

Mask = NDArray[np.bool_]

TOPICS = {"animals": 5, "plants": 20, "food": 13, "feelings": 12}
OTHER_TOPICS = {
    **{"body": 8, "communication": 10, "persons": 18, "phenomena": 19, "possession": 21, "shape": 25},
    **{"substances": 27, "time": 28, "motion": 38, "perception": 39},
}
"""Numbers of WordNet's lexicographers' files; the others choose constants."""
_TOPICS, _EMOTION = 45, 37
"""How many lexicographers' files there are, and that of verbs of feeling."""
_Z_MIN, _USES_MIN = 2.6, 3


@dataclass(frozen=True)
class Person:
    """A simulated person.

    Args:
        name: what they like.
        likes: (M,) which words.
        labels: (M, V) what the model is given of labels.
        by_codes: whether IDs may be gone by: they say what all works do of a word.
    """

    name: str
    likes: Mask
    labels: NDArray[np.float32]
    by_codes: bool = True


class People:
    """Makes people for M words.

    Args:
        words: the vocabulary.
        rows: (M,) the rows of the words in its table.
        works: a folder of literature with a manifest.
    """

    def __init__(self, words: Vocabulary, rows: NDArray[np.int64], works: Path):
        self.words, self.rows = words, rows
        self.texts = [words.known.words[row] for row in rows]
        self.works = read_manifest(works)

    def tested(self) -> Iterator[Person]:
        """Those that the figures are of."""
        yield from (self._person(name, self.topic(number)) for name, number in TOPICS.items())
        yield self._person("law", self.law)
        yield self._person("pleasant", self.valence >= 1)
        yield self._person("unpleasant", self.valence <= -1)
        yield self._person("learner's B2", self.level("B2"))
        for era in ("shakespearean", "victorian", "modernist"):
            yield self._of_works(era, _in_era(era))
        yield self._of_works("contemporary", None)
        for author in ("Shakespeare", "Joyce"):
            yield self._of_works(f"{author}'s", _by(author))
        yield self._person("animals, pleasant", self.topic(TOPICS["animals"]) | (self.valence >= 1))
        yield self._of_works("shakespearean, food", _in_era("shakespearean"), self.topic(TOPICS["food"]))

    def for_choices(self) -> Iterator[Person]:
        """Those that constants were chosen by."""
        yield from (self._person(name, self.topic(number)) for name, number in OTHER_TOPICS.items())
        yield self._person("learner's B1", self.level("B1"))
        yield self._of_works("romantic", _in_era("romantic"))
        yield from (self._of_works(f"{author}'s", _by(author)) for author in ("Austen", "Woolf", "Dickens"))
        yield self._person("emotion, body", self.topic(_EMOTION) | self.topic(OTHER_TOPICS["body"]))

    def diaries(self, file: Path, times: int = 20, length: int = 24) -> None:
        """Write what a predictor learns from: words that somebody of another topic than those tested liked, one after
        another, as sentences of an article."""
        rng, lines, article = np.random.default_rng(0), ["article_id\tsent_idx\tsentence"], 0
        for number in set(range(_TOPICS)) - set(TOPICS.values()):
            liked = np.flatnonzero(self.topic(number))
            for _ in range(times if len(liked) >= length else 0):
                chosen = rng.choice(liked, length, replace=False).tolist()
                lines += [f"{article}\t{place}\t{self.texts[row]}" for place, row in enumerate(chosen)]
                article += 1
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _person(self, name: str, likes: Mask) -> Person:
        return Person(name, likes, self.words.known.label_shares(self.rows))

    def _of_works(self, name: str, own: Callable[[Work], bool] | None, also: Mask | None = None) -> Person:
        """Who likes what some works over-use; without any, what today's English does."""
        if own is None:
            evidence = self.evidence
            lean: Lean | LogOdds = evidence.against_today()
            uses = evidence.today
            judge = Judge(evidence, today=False)
        else:
            group = np.array([own(work) for work in self.works])
            lean = found = self.evidence.lean(group, ~group, with_today=True)
            uses = found.uses
            left = tuple(work for work in self.works if not own(work))
            eras = tuple(dict.fromkeys(work.era for work in left if work.era in DEFAULT_ATTRIBUTES[2].values))
            judge = Judge(gather(left, set(self.texts).__contains__), eras)
        index = self.evidence.index
        at = np.array([index.get(word, -1) for word in self.texts])
        likes = (at >= 0) & (lean.z[at] > _Z_MIN) & (lean.delta[at] > DELTA_MIN) & (uses[at] >= _USES_MIN)
        return Person(name, likes if also is None else likes | also, self._judged(judge), by_codes=False)

    def _judged(self, judge: Judge) -> NDArray[np.float32]:
        """The labels of other works, as far as they go."""
        labels = [judge.judge(word).labels for word in self.texts]
        columns = [
            [label.get(attribute.name) == value for label in labels]
            for attribute in DEFAULT_ATTRIBUTES
            for value in attribute.values
        ]
        return np.array(columns, np.float32).T

    @cached_property
    def evidence(self) -> Evidence:
        """Counts of all works."""
        return gather(self.works, set(self.texts).__contains__)

    @cached_property
    def _synsets(self) -> list[list[Synset]]:
        folder = find_wordnet()
        if folder is None:
            raise SystemExit("error: people with topics need WordNet; install wordnet-base")
        self._wordnet = WordNet(folder)
        return [[s for part in PARTS for s in self._wordnet.synsets(word, part)] for word in self.texts]

    def topic(self, number: int) -> Mask:
        """The words whose commonest sense is of a lexicographers' file."""
        return np.array([bool(found) and found[0].topic == number for found in self._synsets])

    @cached_property
    def law(self) -> Mask:
        """The words one of whose three commonest senses is of the domain of law."""
        return np.array([any(self._is_law(synset) for synset in found[:3]) for found in self._synsets])

    def _is_law(self, synset: Synset) -> bool:
        pointers = synset.pointers
        return any(sign == ";c" and self._wordnet.word(kind, at, 1) == "law" for sign, at, kind, _, _ in pointers)

    @cached_property
    def valence(self) -> NDArray[np.float64]:
        """People's mean rating of each word, −4 unpleasant to 4 pleasant; 0 for those that nobody rated."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        rated = SentimentIntensityAnalyzer().lexicon
        return np.array([rated.get(word, 0.0) for word in self.texts])

    def level(self, name: str) -> Mask:
        """The words of a CEFR level."""
        return np.array([cefr(word) == name for word in self.texts])


def _in_era(era: str) -> Callable[[Work], bool]:
    return lambda work: work.era == era


def _by(author: str) -> Callable[[Work], bool]:
    return lambda work: author.lower() in work.author.lower()
