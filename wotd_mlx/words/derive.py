"""Which word another is derived from: *unhappily* from *unhappy*, *beautiful* from *beauty*; for the build alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from wotd_mlx.words.dictionary.wordnet import PARTS, WordNet
from wotd_mlx.words.families import stem

# ending, what stands in its place in the base; "2" takes a doubled consonant apart
_SUFFIXES = (
    ("ically", ("ic", "ical", "y")), ("ally", ("", "al")), ("ily", ("y",)), ("bly", ("ble",)), ("ly", ("", "le", "e")),
    ("iness", ("y",)), ("ness", ("", "y")), ("iless", ("y",)), ("less", ("", "y")), ("iful", ("y",)),
    ("ful", ("", "e", "y")), ("ability", ("able", "")), ("ibility", ("ible",)), ("osity", ("ous",)), ("ality", ("al",)),
    ("ity", ("", "e", "ous")), ("ty", ("", "e")), ("ification", ("ify",)), ("isation", ("ise",)), ("ization", ("ize",)),
    ("ation", ("ate", "", "e")), ("ition", ("e", "ite", "")), ("sion", ("d", "de", "s", "se", "t")),
    ("ption", ("be", "pt", "ve")), ("tion", ("te", "t", "ce")), ("ion", ("", "e")), ("ancy", ("ant",)),
    ("ency", ("ent",)), ("ance", ("ant", "", "e", "y")), ("iance", ("y",)), ("ence", ("ent", "", "e")),
    ("acy", ("ate",)), ("cy", ("t", "te")), ("ment", ("", "e")), ("ative", ("ate", "e", "")),
    ("itive", ("e", "ite", "")), ("sive", ("d", "de", "se", "s")), ("ive", ("", "e", "ion")), ("iable", ("y",)),
    ("able", ("", "e", "ate", "2")), ("ible", ("", "e")), ("atory", ("ate", "e")), ("ory", ("e", "or", "ion")),
    ("eous", ("y", "e", "")), ("ious", ("y", "e", "ion", "")), ("ous", ("", "e", "y")), ("ial", ("", "y", "e")),
    ("ical", ("ic", "y", "")), ("al", ("", "e", "y")), ("istic", ("ist", "ism", "")), ("atic", ("a", "e", "")),
    ("ic", ("", "e", "y")), ("ify", ("", "y", "e")), ("ise", ("", "y", "e")), ("ize", ("", "y", "e")),
    ("ism", ("", "ist", "e", "y")), ("ist", ("", "e", "y", "ism")), ("ish", ("", "e", "2")), ("hood", ("", "y")),
    ("ship", ("",)), ("dom", ("", "e")), ("some", ("", "y")), ("ward", ("",)), ("like", ("",)), ("eer", ("",)),
    ("ier", ("y", "")), ("ery", ("er", "", "e")), ("ry", ("", "er")), ("er", ("", "e", "2")), ("or", ("", "e")),
    ("ess", ("", "er", "or")), ("ee", ("", "e")), ("age", ("", "e")), ("ure", ("", "e")), ("en", ("", "e", "2")),
    ("ing", ("", "e", "2")), ("ed", ("", "e", "2")), ("ant", ("", "ate", "y", "e")), ("ent", ("", "e")),
    ("ary", ("", "e")), ("ling", ("",)), ("let", ("",)), ("y", ("", "e", "2")), ("th", ("", "e")), ("t", ("",)),
)  # fmt: skip
_PREFIXES = (
    "un", "non", "in", "im", "il", "ir", "dis", "mis", "re", "over", "under", "anti", "pre", "de", "en", "em", "fore",
    "out", "super", "semi", "ultra", "counter",
)  # fmt: skip
_SHORTEST = 3
_SENSES = 2  # of each part of speech: a *liver* is also one who lives, but who thinks of that
# Derived by a change within, which no ending tells.
_CHANGED = {
    "strength": "strong", "length": "long", "breadth": "broad", "depth": "deep", "youth": "young", "height": "high",
    "heat": "hot", "pride": "proud", "flight": "fly", "speech": "speak", "song": "sing", "singer": "sing",
    "loss": "lose", "choice": "choose", "thought": "think", "death": "die", "dead": "die", "blood": "bleed",
    "sight": "see", "growth": "grow", "gift": "give", "proof": "prove", "belief": "believe", "relief": "relieve",
    "grief": "grieve", "life": "live", "breath": "breathe", "bath": "bathe", "cloth": "clothe", "advice": "advise",
    "lengthen": "long", "strengthen": "strong", "deepen": "deep", "heighten": "high", "solitary": "solitude",
    "melancholic": "melancholy", "terrible": "terror", "horrible": "horror", "horrid": "horror", "poverty": "poor",
    "wisdom": "wise", "width": "wide", "warmth": "warm", "truth": "true",
}  # fmt: skip
_LETTERS = re.compile("[a-z]+")

# Endings that mean the same wherever they stand, where the base is of this part and the word of that.
_SURE = {"ly": ("a", "r"), "ness": ("a", "n"), "less": ("n", "a"), "ful": ("n", "a")}


@dataclass(frozen=True)
class Link:
    """A word comes from ``base`` by ``affix``, such as ``-ness`` or ``un-``."""

    base: str
    affix: str


@dataclass(frozen=True)
class Derivations:
    """Links between words, each borne out by WordNet's pointers or by a gloss that names the base.

    Args:
        known: whether a text is a word that may be a base.
        wordnet: parts of speech, derivations and antonyms.
        glosses: the meanings of a word.
    """

    known: Callable[[str], bool]
    wordnet: WordNet
    glosses: Callable[[str], Iterable[str]]

    def links(self, word: str) -> Iterator[Link]:
        """Every base of a word: for each affix the likeliest."""
        if word in _CHANGED:
            yield Link(_CHANGED[word], "-th")
        for affix, bases in _candidates(word):
            for base in bases:
                fits = len(base) >= _SHORTEST and base not in (word, *_PREFIXES) and self.known(base)
                if fits and self._borne_out(word, base, affix):
                    yield Link(base, affix)
                    break

    def names(self, gloss: str, base: str) -> bool:
        """Whether a gloss explains a word by its base, or by a form of it."""
        return stem(base) in {stem(part) for part in _LETTERS.findall(gloss.lower())}

    def opposed(self, word: str, base: str) -> bool:
        """Whether WordNet points from one to the other, as it does to antonyms."""
        return base in self._pointed(word)

    def _borne_out(self, word: str, base: str, affix: str) -> bool:
        ending = next((end for end in _SURE if affix.endswith(end)), None)
        if ending and affix.startswith("-"):
            of, to = _SURE[ending]
            if of in self._parts(base) and to in self._parts(word):
                return True
        if base in self._pointed(word):
            return True
        return stem(base) in self._said(word)

    def _parts(self, word: str) -> frozenset[str]:
        return self._facts(word)[0]

    def _pointed(self, word: str) -> frozenset[str]:
        return self._facts(word)[1]

    def _said(self, word: str) -> frozenset[str]:
        return self._facts(word)[2]

    @cached_property
    def _memory(self) -> dict[str, tuple[frozenset[str], frozenset[str], frozenset[str]]]:
        return {}

    def _facts(self, word: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Parts of speech, words that derivations, pertainyms and antonyms point to, stems in its glosses."""
        if word not in self._memory:
            parts, pointed, texts = set[str](), set[str](), list[str]()
            for part in PARTS:
                for synset in self.wordnet.synsets(word, part)[:_SENSES]:
                    parts.add(part)
                    texts.append(synset.gloss)
                    place = next(n for n, other in enumerate(synset.words, 1) if other.lower() == word)
                    for symbol, at, kind, source, target in synset.pointers:
                        if symbol in ("+", "\\", "!", "<") and source == place:
                            pointed.add(self.wordnet.word(kind, at, target).lower())
            texts = texts or list(self.glosses(word))[:_SENSES]
            said = {stem(part) for text in texts for part in _LETTERS.findall(text.lower())}
            self._memory[word] = frozenset(parts), frozenset(pointed), frozenset(said)
        return self._memory[word]


def _candidates(word: str) -> Iterator[tuple[str, list[str]]]:
    for prefix in _PREFIXES:
        if word.startswith(prefix):
            yield f"{prefix}-", [word[len(prefix) :]]
    for suffix, ends in _SUFFIXES:
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            doubled = len(rest) > 2 and rest[-1] == rest[-2]
            bases = [rest + end if end != "2" else rest[:-1] for end in ends if end != "2" or doubled]
            yield f"-{suffix}", bases
