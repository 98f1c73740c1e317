"""What each stage hands to the next: words, corpora, semantic IDs, a finished run.

Shapes, in every docstring, comment and test of this project:
    B batch   L sequence   D embedding width   H heads   N state size
    Q quantiser levels (depth)   K codes in a level   V vocabulary
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import mlx.core as mx


class WotdError(ValueError):
    """Something went wrong at run time; its one-line text says what was got, expected, and what to do.

    The subclasses are also what Python calls such a fault, so that ``except FileNotFoundError`` catches what it says.
    """

    def __init__(self, text: str):
        # A file's own names and values stand in it, whatever they hold: it stays one line all the same.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


class MissingError(WotdError, FileNotFoundError):
    """A file, a folder, a run, or a model's weights that aren't there."""


class BusyError(WotdError, BlockingIOError):
    """Another process holds what this one wants to write."""


class TooLargeError(WotdError, MemoryError):
    """What was asked for doesn't fit into the memory that it may take."""


@dataclass(frozen=True)
class Attribute:
    """One readable coordinate: a name, and the values it takes in the order they lie along it."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """A word, its labels (attribute name → value; an absent key is an unlabelled attribute) and where from.

    ``evidence`` holds what each label rests on: counts, z-scores, ratios. ``zipf`` is log10 of uses per
    billion words; ``cefr`` runs from A1 to C2. ``worth`` tells whether the word is one to meet as a word of the day;
    None where nobody judged.
    """

    text: str
    labels: Mapping[str, str] = field(default_factory=dict)
    corpus: str = ""
    source: str = ""
    cefr: str | None = None
    zipf: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    worth: bool | None = None


@dataclass(frozen=True)
class Corpus:
    """Named groups of words. ``words`` get IDs that are kept; ``lexicon`` words only train and test the codes."""

    name: str
    words: tuple[Word, ...]
    lexicon: tuple[Word, ...] = ()

    @property
    def groups(self) -> dict[str, tuple[Word, ...]]:
        """Corpus name → its words, in order of first appearance."""
        found: dict[str, list[Word]] = {}
        for word in self.words:
            found.setdefault(word.corpus, []).append(word)
        return {name: tuple(words) for name, words in found.items()}


class SemanticID(tuple[int, ...]):
    """Q small integers, one a coordinate: ``(style, complexity, era, variation)`` by default."""

    __slots__ = ()

    def __new__(cls, numbers: Iterable[int]) -> SemanticID:
        return super().__new__(cls, (int(n) for n in numbers))

    @classmethod
    def parse(cls, text: str, levels: Sequence[int]) -> SemanticID:
        """Read ``2,1,3,0`` or ``[2, 1, 3, 0]``; coordinate q must lie in 0 … levels[q] - 1.

        Raises:
            WotdError: not that form, another count of numbers, or a number out of range.
        """
        body = re.fullmatch(r"\s*(?:\[([^\[\]]*)\]|\(([^()]*)\)|([^\[\]()]*))\s*", text)
        parts = next((g for g in body.groups() if g is not None), "").split(",") if body else []
        if not all(re.fullmatch(r"\s*-?[0-9]{1,18}\s*", p) for p in parts) or not parts:
            example = ",".join("0" for _ in levels)
            raise WotdError(f"{text!r} is not a semantic ID; write {len(levels)} numbers such as {example!r}")
        # strip: `int` knows fewer blanks than `\s` does.
        return cls(int(p.strip()) for p in parts).checked(levels)

    def checked(self, levels: Sequence[int]) -> SemanticID:
        """Return self, or raise WotdError where the count or a coordinate doesn't fit ``levels``."""
        if len(self) != len(levels):
            raise WotdError(f"the ID {self} has {len(self)} numbers; this run's IDs have {len(levels)}")
        for q, (n, k) in enumerate(zip(self, levels, strict=True)):
            if not 0 <= n < k:
                raise WotdError(f"the ID {self}: number {q + 1} is {n}; this run allows 0 to {k - 1} there")
        return self

    def __str__(self) -> str:
        return "[" + ",".join(map(str, self)) + "]"


class Codes(NamedTuple):
    """What every quantiser returns for latents (B, W), where W is its own width."""

    quantized: mx.array
    """(B, W) quantised latents; the gradient passes straight through to the latents."""
    ids: mx.array
    """(B, Q) int32, 0 <= ids[:, q] < levels[q]."""
    loss: mx.array
    """() what pulls the latents to their codes; zero for FSQ."""


@dataclass(frozen=True)
class RunInfo:
    """A finished training: its folder, seconds and peak bytes a stage, and ``metrics.json`` as read."""

    run: Path
    seconds: float
    metrics: Mapping[str, Any]
