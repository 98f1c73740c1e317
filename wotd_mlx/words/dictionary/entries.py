"""What a dictionary says of a word, and what each of its sources is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sense:
    """One meaning of a word.

    ``pos`` is noun, verb, adjective or adverb where the source tells, else empty; ``source`` names the source.
    """

    gloss: str
    pos: str = ""
    synonyms: tuple[str, ...] = ()
    antonyms: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """All that is known of a word: ``word`` is the lemma where the form asked for has no entry of its own.

    ``ipa`` is General American, without slashes; ``ipa_predicted`` tells that no dictionary has it, and that it is made
    of the sounds of the word's parts.
    """

    word: str
    senses: tuple[Sense, ...]
    synonyms: tuple[str, ...] = ()
    antonyms: tuple[str, ...] = ()
    ipa: str | None = None
    ipa_predicted: bool = False


@dataclass(frozen=True)
class Source:
    """Where texts come from, and the line that has to stand where they are shown."""

    name: str
    version: str
    licence: str
    attribution: str


class Reader(Protocol):
    """A source of senses. Words are asked for in normal form; a file is read when first needed."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is read."""

    def senses(self, word: str) -> tuple[Sense, ...]:
        """The meanings of a word, the commonest first; none where it isn't listed."""

    def synonyms(self, word: str) -> tuple[str, ...]:
        """Words of like meaning, whatever the sense."""

    def antonyms(self, word: str) -> tuple[str, ...]:
        """Words of opposite meaning, whatever the sense."""

    def ipa(self, word: str) -> str | None:
        """The pronunciation."""

    def likely_ipa(self, word: str) -> str | None:
        """What it is likely to be, of a word without one."""

    def words(self) -> Iterator[str]:
        """Every word that has a sense."""
