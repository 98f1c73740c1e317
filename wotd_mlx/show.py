"""All that is known of a word: what it means, how it sounds, its labels and what they rest on, its kin."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wotd_mlx.encoder import NEAREST, Neighbour
from wotd_mlx.known import LIKELY
from wotd_mlx.schemas import MissingError, SemanticID, Word, WotdError
from wotd_mlx.words.builtin import load_works
from wotd_mlx.words.normal import normal
from wotd_mlx.words.uses import Uses, believable, load_uses

if TYPE_CHECKING:
    from wotd_mlx.vocabulary import Vocabulary
    from wotd_mlx.words.dictionary import Dictionary, Sense

NEIGHBOURS = 5


@dataclass(frozen=True)
class Shown:
    """What is known of a word, or predicted.

    Args:
        word: its normal form.
        id: None where nothing knows or predicts it.
        labels, probability: as in :class:`wotd_mlx.encoder.Reading`; and what is likelier than not of a known word that
            evidence says nothing of.
        source: ``known`` or ``predicted``; empty where neither.
        evidence: for each label that rests on evidence the figures, and ``because``, the same in words.
        uses: where the works that the built-in words rest on use it; None where they don't.
        senses: its meanings, the commonest first.
        ipa: General American, without slashes; ``ipa_predicted`` where no dictionary has it.
        neighbours: words of like meaning, one a family.
        family: the other known words of its family.
        etymology: where it comes from.
        attribution: the lines that have to stand where the texts are shown.
    """

    word: str
    id: SemanticID | None
    labels: Mapping[str, str | None]
    probability: Mapping[str, float | None]
    source: str
    evidence: Mapping[str, Mapping[str, Any]]
    uses: Uses | None
    senses: tuple[Sense, ...]
    ipa: str | None
    ipa_predicted: bool
    neighbours: tuple[Neighbour, ...]
    family: tuple[str, ...]
    etymology: str | None
    attribution: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "word": self.word,
            "id": None if self.id is None else list(self.id),
            "labels": dict(self.labels),
            "probability": {name: None if p is None else round(p, 3) for name, p in self.probability.items()},
            "source": self.source or None,
            "evidence": {name: dict(figures) for name, figures in self.evidence.items()},
            "uses": None if self.uses is None else self.uses.as_json(),
            "gloss": self.senses[0].gloss if self.senses else None,
            "senses": [{"pos": s.pos or None, "gloss": s.gloss, "examples": list(s.examples)} for s in self.senses],
            "ipa": self.ipa,
            "ipa_predicted": self.ipa_predicted,
            "neighbours": [{"word": n.word, "cosine": round(n.cosine, 4)} for n in self.neighbours],
            "family": list(self.family),
            "etymology": self.etymology,
            "attribution": list(self.attribution),
        }


def show(words: Vocabulary, text: str) -> Shown:
    """All that a run, or the package, and this machine's dictionary know of a word.

    Raises:
        WotdError: nothing to look up; or, without a run, a word that neither the package nor the dictionary knows.
    """
    word = normal(text)
    if not word:
        raise WotdError("the word is empty; write the one to show")
    known, dictionary = words.known, words.dictionary
    entry = dictionary.entry(word) if dictionary is not None else None
    row = known.row(word)
    if row is None and words.coder is None:
        if entry is None:
            raise MissingError(
                f"{word[:60]!r} is none of {words.name}, nor in a dictionary here; train a run, which predicts any "
                "text, with `wotd-mlx train`"
            )
        told = None
    else:
        told = words.read([word])[0]
    neighbours: tuple[Neighbour, ...] = ()
    guessed = believable(word, known.guess_of(row)) if row is not None else {}
    if row is not None:
        vector = known.word_rows.rows(np.array([row]))[0]
        near = known.nearest(vector, NEIGHBOURS, exclude=[row])
        neighbours = tuple(Neighbour(known.words[n.row], n.cosine, NEAREST) for n in near)
    elif words.coder is not None:
        neighbours = tuple(words.coder.nearest(words.coder.embed([word]), NEIGHBOURS)[0])
    origin = dictionary.etymology(word) if dictionary is not None else None
    return Shown(
        word=word,
        id=told.id if told else None,
        labels={**(told.labels if told else {}), **{name: value for name, (value, p) in guessed.items() if p > LIKELY}},
        probability={**(told.probability if told else {}), **{name: p for name, (_, p) in guessed.items()}},
        source=told.source if told else "",
        evidence=_evidence(words, row),
        uses=load_uses(word),
        senses=entry.senses if entry else (),
        ipa=entry.ipa if entry else None,
        ipa_predicted=bool(entry and entry.ipa_predicted),
        neighbours=neighbours,
        family=tuple(known.words[n] for n in known.relatives(row)) if row is not None else (),
        etymology=origin,
        attribution=_attribution(dictionary, entry is not None, bool(origin)),
    )


def _attribution(dictionary: Dictionary | None, entry: bool, origin: bool) -> tuple[str, ...]:
    if dictionary is None or not (entry or origin):
        return ()
    # One source tells origins and nothing else.
    return tuple(
        source.attribution
        for source in dictionary.sources
        if (origin if source.attribution.startswith("Etymology") else entry)
    )


def _evidence(words: Vocabulary, row: int | None) -> dict[str, dict[str, Any]]:
    labels = {} if row is None else words.known.evidence_of(row)
    word = words.word(words.known.words[row]) if row is not None and labels else None
    if word is None:
        return {name: {"value": value} for name, value in labels.items()}
    return {name: {"value": value, **figures_of(word, name, value)} for name, value in labels.items()}


def figures_of(word: Word, attribute: str, value: str) -> dict[str, Any]:
    """What a label of a word rests on: figures by name, and ``because``, the same in words."""
    if attribute == "complexity":
        keys = ("verse_ratio", "verse_z") if value == "beautiful" else ()
        found = {"cefr": word.cefr, "zipf": word.zipf, **{key: word.evidence.get(key) for key in keys}}
    else:
        prefix = f"{attribute}_"
        found = {key.removeprefix(prefix): v for key, v in word.evidence.items() if key.startswith(prefix)}
        found |= {"uses": word.evidence.get("count") or None, "source": word.source or None}
    found = {key: v for key, v in found.items() if v is not None}
    return {**found, "because": because(found)} if found else {}


def because(found: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """Figures in words, but for some."""
    said: dict[str, Callable[[Any], str]] = {
        "verse_ratio": lambda v: f"verse has it {v:g} times as often as prose",
        "delta": lambda v: f"{math.exp(min(v, 20)):.1f} times the odds of other texts",
        "z": lambda v: f"z {v:g}",
        "works": lambda v: f"in {v} works",
        "uses": lambda v: f"{v:,} uses in the works",
        "source": lambda v: f"above all {load_works().get(v, v)}" if v != "wordfreq" else "today's English",
        "cefr": lambda v: f"CEFR {v}",
        "zipf": lambda v: f"{10 ** (v - 3):.2g} uses in a million words today",
    }
    return ", ".join(tell(found[key]) for key, tell in said.items() if key in found and key not in but)
