"""A dictionary as JSON lines: the user's own, and the words that ship with the package because no other has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.json import read_json_lines
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary.entries import Sense, Source
from wotd_mlx.words.normal import normal

HINT = 'give a .jsonl file with lines such as {"word": "petrichor", "gloss": "the smell of rain on dry ground"}'
SHIPPED = Path(__file__).parents[1] / "data" / "glosses.jsonl"

Texts = tuple[str, ...]


@dataclass(frozen=True)
class _Sense:
    gloss: str
    pos: str = ""
    examples: Texts = ()
    synonyms: Texts = ()
    antonyms: Texts = ()

    def __post_init__(self) -> None:
        if not self.gloss.strip():
            raise WotdError("'gloss' is empty; write what the word means, or leave the line out")


@dataclass(frozen=True)
class _Row:
    word: str
    gloss: str | None = None
    pos: str = ""
    senses: tuple[_Sense, ...] = ()
    synonyms: Texts = ()
    antonyms: Texts = ()
    examples: Texts = ()
    ipa: str | None = None
    etymology: str | None = None

    def __post_init__(self) -> None:
        if not normal(self.word):
            raise WotdError(f"'word' is {self.word!r}; expected a text that isn't empty")
        if self.gloss is not None:
            _Sense(self.gloss)
        if not (self.gloss or self.senses or self.synonyms or self.antonyms or self.ipa or self.etymology):
            raise WotdError(f"nothing is said of {self.word!r}; give it a 'gloss' or 'senses'")


@dataclass
class _Known:
    senses: list[Sense] = field(default_factory=list)
    synonyms: list[str] = field(default_factory=list)
    antonyms: list[str] = field(default_factory=list)
    ipa: str | None = None
    etymology: str | None = None


class Own:
    """Words of one file; lines of the same word add up.

    Args:
        path: the file, read when first asked.
        source: where it is from.
    """

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self.source = source

    @property
    def sources(self) -> tuple[Source, ...]:
        """The file."""
        return (self.source,)

    @cached_property
    def fixed_bytes(self) -> bytes:
        """The file as it lies there: what a digest is taken of."""
        return read_bytes(self.path, HINT)

    @cached_property
    def _rows(self) -> dict[str, _Known]:
        found: dict[str, _Known] = {}
        for _, row in read_json_lines(self.path, _Row, HINT):
            known = found.setdefault(normal(row.word), _Known())
            # The line's own examples belong to the line's own gloss; without one, to the first sense.
            senses = [_Sense(row.gloss, row.pos)] if row.gloss else []
            for n, sense in enumerate([*senses, *row.senses]):
                examples = (*sense.examples, *(row.examples if n == 0 else ()))
                known.senses.append(
                    Sense(sense.gloss, sense.pos, sense.synonyms, sense.antonyms, examples, self.source.name)
                )
            known.synonyms += row.synonyms
            known.antonyms += row.antonyms
            known.ipa = known.ipa or row.ipa
            known.etymology = known.etymology or row.etymology
        return found

    def senses(self, word: str) -> tuple[Sense, ...]:
        """The meanings in the order of the file."""
        return tuple(self._known(word).senses)

    def synonyms(self, word: str) -> tuple[str, ...]:
        """As the file tells."""
        return tuple(self._known(word).synonyms)

    def antonyms(self, word: str) -> tuple[str, ...]:
        """As the file tells."""
        return tuple(self._known(word).antonyms)

    def ipa(self, word: str) -> str | None:
        """As the file tells."""
        return self._known(word).ipa

    def likely_ipa(self, word: str) -> str | None:
        """The file is asked for what it tells, no more."""
        return None

    def etymology(self, word: str) -> str | None:
        """As the file tells."""
        return self._known(word).etymology

    def words(self) -> Iterator[str]:
        """Every word that has a sense."""
        return (word for word, known in self._rows.items() if known.senses)

    def _known(self, word: str) -> _Known:
        return self._rows.get(word, _Known())
