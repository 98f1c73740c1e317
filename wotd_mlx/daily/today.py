"""A day's word as it is shown: what it means, why this one, and where it is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.show import Shown, because, show
from wotd_mlx.taste.votes import DISLIKE, LIKE, Given, Store, Vote
from wotd_mlx.vocabulary import Vocabulary
from wotd_mlx.words.reading import read_manifest, read_work

NEAR = 2
"""Liked words that a reason names."""
_NEAR_ENOUGH, _FAR_ENOUGH = 0.45, 0.3
"""Cosines from which a person sees that two words have to do with each other, and below which nobody would say so."""
_SENSES_NEARER = 0.05
"""How much nearer to each other glosses have to be than words for a person to see it."""
_PERIODS, _NO_PERIOD = ("era", "style"), ("neutral", "modern", "contemporary")
"""Labels that tell a period, and the values of most words of today, which nobody likes a word for."""
_RARE, _AS_RARE = 3.0, 0.3
"""Zipf below which a word is rare, once in a million; and within which two are as rare as each other."""
_LONGEST = 240
"""Characters of an example."""
_SENTENCE = re.compile(r"(?<=[.!?;])[\"'”’)]*\s+")


@dataclass(frozen=True)
class Example:
    """A sentence that uses a word, and where it is from."""

    text: str
    source: str


@dataclass(frozen=True)
class Today:
    """A word of a day.

    Args:
        day: ISO 8601.
        shown: all that is known of it.
        why: reasons, each a sentence or less.
        example: None where none is known.
        sources: where its texts are from, with the licence of each, in short; ``shown.attribution`` has it whole.
    """

    day: str
    shown: Shown
    why: tuple[str, ...]
    example: Example | None
    sources: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        shown = self.shown.as_json()
        example = None if self.example is None else {"text": self.example.text, "source": self.example.source}
        first = {name: shown.pop(name) for name in ("word", "id", "labels", "gloss")}
        return {"date": self.day, **first, "why": list(self.why), "example": example, **shown}


def present(words: Vocabulary, store: Store, given: Given, literature: Path | None = None) -> Today:
    """A word that was given, with the reasons that held then.

    Args:
        literature: a folder of works with a manifest, in which a sentence that uses the word is looked for where the
            dictionary has none.
    """
    shown = show(words, given.word)
    example = _example(shown) or (quoted(literature, given.word) if literature else None)
    sources = words.dictionary.sources if words.dictionary is not None else ()
    told = [source for source in sources if source.attribution in shown.attribution]
    named = tuple(f"{source.name} ({source.licence})" for source in told)
    return Today(given.day, shown, tuple(reasons(words, store.votes(), given, shown)), example, named)


def _example(shown: Shown) -> Example | None:
    """The dictionary's first example that has the word itself, in some form: others show a synonym's use."""
    stem = re.compile(rf"\b{re.escape(shown.word[: max(3, len(shown.word) - 2)])}", re.IGNORECASE)
    found = ((text, sense.source) for sense in shown.senses for text in sense.examples)
    return next((Example(text, source) for text, source in found if stem.search(text)), None)


def reasons(words: Vocabulary, votes: Sequence[Vote], given: Given, shown: Shown) -> list[str]:
    """Why a word was given: what is near it among words liked before then, and what its labels rest on."""
    then = datetime.fromisoformat(given.at)
    before = [vote for vote in votes if datetime.fromisoformat(vote.at) <= then and vote.word != given.word]
    last = {vote.word: vote.kind for vote in before if vote.kind in (LIKE, DISLIKE)}
    liked = [word for word, kind in last.items() if kind == LIKE and word in words.known.row_of]
    found = [_nearness(words, liked, given.word)] if given.word in words.known.row_of else []
    for figures in shown.evidence.values():
        # A statistic tells most people nothing; `show` has it. What the works say stands below.
        told = because(figures, but=("z", "works", "uses", *(("source",) if shown.uses else ())))
        found.append(": ".join([str(figures["value"]), *filter(None, [told])]))
    return [*found, str(shown.uses)] if shown.uses else found


def _nearness(words: Vocabulary, liked: Sequence[str], word: str) -> str:
    """What a word has to do with those that were liked: in meaning, else in period, else in how often it is used."""
    if not liked:
        best, _ = _nearest(words, [seed for seed in TasteConfig().seeds if seed in words.known.row_of], word)
        first = f"near {' and '.join(best)}, which many people like" if best else "a word to begin with"
        return f"{first}; say what you like, and the next ones follow"
    best, cosine = _nearest(words, liked, word)
    if best:
        return f"near {' and '.join(best)}, which you liked"
    evidence = words.known.evidence_of(words.known.row_of[word])
    for name in _PERIODS:
        value = evidence.get(name)
        same = [one for one in liked if words.known.evidence_of(words.known.row_of[one]).get(name) == value]
        if same and value is not None and value not in _NO_PERIOD:
            return f"{value} like {' and '.join(same[-NEAR:])}, which you liked"
    zipf = dict(zip(liked, words.zipf[[words.known.row_of[one] for one in liked]].tolist(), strict=True))
    own = float(words.zipf[words.known.row_of[word]])
    rare = [one for one in liked if own < _RARE and abs(zipf[one] - own) <= _AS_RARE]
    as_rare = f"as rare as {' and '.join(rare[-NEAR:])}, which you liked" if rare else ""
    if cosine < _FAR_ENOUGH:
        return f"something new{f', though {as_rare}' if rare else ': unlike what you liked so far'}"
    return as_rare or "like what you liked, though near to none of it"


def _nearest(words: Vocabulary, others: Sequence[str], word: str) -> tuple[list[str], float]:
    """The words that one is near to, by itself or by its commonest sense, the nearest first; and the highest cosine."""
    if not others:
        return [], -1.0
    known = words.known
    rows = np.array([known.row_of[one] for one in (word, *others)])
    by_word, by_sense = (vectors[1:] @ vectors[0] for vectors in (known.word_rows.rows(rows), known.first_senses(rows)))
    cosines = np.maximum(by_word, by_sense - _SENSES_NEARER)
    best = np.argsort(-cosines, kind="stable")[:NEAR].tolist()
    return [others[n] for n in best if cosines[n] >= _NEAR_ENOUGH], float(cosines.max())


def quoted(folder: Path, word: str) -> Example | None:
    """The shortest sentence of a literature folder that has a word, of those long enough to show its use."""
    whole = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    best: Example | None = None
    for work in read_manifest(folder):
        text = read_work(work.path)
        if not whole.search(text):
            continue
        for sentence in _SENTENCE.split(text):
            line = " ".join(sentence.split())
            if whole.search(line) and 30 <= len(line) <= (len(best.text) if best else _LONGEST):
                best = Example(line, f"{work.author}, {work.title}")
    return best
