"""Where the works use a word: how often, in which first and most, in verse or in prose."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wotd_mlx.io.files import read_text
from wotd_mlx.words.builtin import DATA, load_works
from wotd_mlx.words.labels import STYLE_YEARS

if TYPE_CHECKING:
    from wotd_mlx.words.evidence import Evidence

USES = DATA / "uses.tsv"
COLUMNS = ("text", "uses", "verse", "works", "first", "most", "most_uses")
PERIOD_ENDS = {style: last for style, (_, last) in STYLE_YEARS.items()} | {"shakespearean": 1611, "victorian": 1897}
"""The last year that is taken for one of a style, and that of the works of an era."""
_IN_VERSE, _IN_PROSE = 0.65, 0.35
"""Shares of uses in verse from which a word is called one of verse, and up to which one of prose."""


@dataclass(frozen=True)
class Uses:
    """A word's uses in a set of works, in all its forms.

    Args:
        uses: how many.
        verse: how many of them in verse.
        works: in how many works.
        first: the earliest of these.
        most: the one with the most uses.
        most_uses: how many.
    """

    uses: int
    verse: int
    works: int
    first: str
    most: str
    most_uses: int

    def __str__(self) -> str:
        if self.uses == 1:
            return f"used once, in {'verse' if self.verse else 'prose'}: {_named(self.first)}"
        share = self.verse / self.uses
        where = "in verse and prose"
        if not _IN_PROSE < share < _IN_VERSE:
            kind = "verse" if share > 0.5 else "prose"
            where = f"in {kind}" if self.verse in (0, self.uses) else f"mostly in {kind}"
        if self.works == 1:
            return f"{self.uses:,} uses, {where}, all in {_named(self.first)}"
        head = f"{self.uses:,} uses in {self.works} of {len(load_works())} works, {where}"
        if self.first == self.most:
            return f"{head}; first and most ({self.most_uses:,}) in {_named(self.first)}"
        return f"{head}; first in {_named(self.first)}, most ({self.most_uses:,}) in {_named(self.most)}"

    def contradicts(self, value: str) -> bool:
        """Whether a guess that a word is of a period can't hold: the works have it, and none of that period has."""
        work = load_works().get(self.first)
        return work is not None and work.year > PERIOD_ENDS.get(value, work.year)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, works by what they are called."""
        return {**asdict(self), "first": _named(self.first), "most": _named(self.most)}


def _named(work: str) -> str:
    return str(load_works().get(work, work))


def uses_of(evidence: Evidence, texts: Iterable[str]) -> dict[str, Uses]:
    """The uses of each word that the works have."""
    order = sorted(range(len(evidence.works)), key=lambda n: evidence.works[n].year)
    found = {}
    for text in texts:
        row = evidence.index.get(evidence.base.get(text, text))
        if row is None or not (counts := evidence.counts[row]).any():
            continue
        most = int(counts.argmax())
        found[text] = Uses(
            uses=round(counts.sum()),
            verse=round(evidence.verse[row].sum()),
            works=int(np.count_nonzero(counts)),
            first=evidence.works[next(n for n in order if counts[n])].name,
            most=evidence.works[most].name,
            most_uses=round(counts[most]),
        )
    return found


def write_uses(path: Path, uses: Mapping[str, Uses]) -> None:
    """Write a row a word, in the order of the words: :func:`load_uses` looks them up by halving."""
    rows = [COLUMNS, *((text, *map(str, asdict(found).values())) for text, found in sorted(uses.items()))]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")


@cache
def _lines() -> list[str]:
    return read_text(USES, "reinstall wotd-mlx").splitlines()[1:]


def load_uses(text: str) -> Uses | None:
    """What the works that the built-in tables rest on say of a word; None where none has it."""
    lines, start = _lines(), f"{text}\t"
    # One word of 34,000 is asked for: to read them all would take longer than the rest of a command.
    at = bisect_left(lines, start)
    if at == len(lines) or not lines[at].startswith(start):
        return None
    uses, verse, works, first, most, most_uses = lines[at].removeprefix(start).split("\t")
    return Uses(int(uses), int(verse), int(works), first, most, int(most_uses))


def believable(text: str, guesses: Mapping[str, tuple[str, float]]) -> dict[str, tuple[str, float]]:
    """The guesses, a value and its probability, that the works don't speak against."""
    uses = load_uses(text)
    return {name: guess for name, guess in guesses.items() if uses is None or not uses.contradicts(guess[0])}
