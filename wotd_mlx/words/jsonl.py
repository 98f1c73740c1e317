"""Words as JSON lines: one object a line, only ``word`` is required."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wotd_mlx.io.files import read_bytes, write_atomically
from wotd_mlx.io.json import json_line, parse_json, read_json_lines
from wotd_mlx.io.records import checked
from wotd_mlx.schemas import Corpus, Word, WotdError
from wotd_mlx.words.normal import normal

log = logging.getLogger("wotd_mlx")

HINT = "give a .jsonl file of words"


@dataclass(frozen=True)
class _Row:
    word: str
    labels: dict[str, str] | None = None
    corpus: str | None = None
    source: str | None = None
    cefr: str | None = None
    zipf: float | None = None
    evidence: dict[str, Any] | None = None
    worth: bool | None = None

    def __post_init__(self) -> None:
        if not normal(self.word):
            raise WotdError(f"'word' is {self.word!r}; expected a text that isn't empty")
        if empty := [name for name, value in (self.labels or {}).items() if not value]:
            raise WotdError(f"the label {empty[0]!r} is empty; leave it out")

    def as_word(self) -> Word:
        labels, corpus, source, cefr = self.labels or {}, self.corpus or "", self.source or "", self.cefr or None
        return Word(normal(self.word), labels, corpus, source, cefr, self.zipf, self.evidence or {}, self.worth)


def read_jsonl(path: str | Path) -> Corpus:
    """Read a corpus named after its file. Words are kept in their normal form; one that comes again, however it is
    typed, is dropped, and one log line counts these.

    Raises:
        MissingError: no such file.
        WotdError: nothing in it, or a line that isn't a word; it names file and line.
    """
    path = Path(path)
    words: dict[str, Word] = {}
    rows = 0
    for _, row in read_json_lines(path, _Row, HINT):
        rows += 1
        word = row.as_word()
        words.setdefault(word.text, word)
    if not words:
        raise WotdError(f'{path} holds no words; write one JSON object a line, such as {{"word": "felicity"}}')
    if rows > len(words):
        log.warning("%s: %d repeated words dropped; the first of each counts", path, rows - len(words))
    return Corpus(path.stem, tuple(words.values()))


def find_word(path: str | Path, text: str) -> Word | None:
    """One word of a file that :func:`write_jsonl` wrote, without reading the others; None where it isn't there.

    Raises:
        MissingError: no such file.
        WotdError: its line is damaged; it names the file.
    """
    data, begin = read_bytes(Path(path), HINT), json_line({"word": normal(text)})[:-2]
    start = 0 if data.startswith(begin) else data.find(b"\n" + begin) + 1
    if not data.startswith(begin, start):
        return None
    where = f"{path}: {text!r}"
    end = data.find(b"\n", start)
    return checked(_Row, parse_json(data[start : None if end < 0 else end], where), where).as_word()


def write_jsonl(path: str | Path, words: Iterable[Word]) -> None:
    """Write words, a line each; empty fields are left out.

    Raises:
        WotdError: a field can't be written as JSON in UTF-8; it names the word.
    """
    lines = []
    for word in words:
        row = {
            "word": word.text,
            "labels": dict(word.labels),
            "corpus": word.corpus,
            "source": word.source,
            "cefr": word.cefr,
            "zipf": word.zipf,
            "evidence": dict(word.evidence),
            "worth": word.worth,
        }
        kept = {key: value for key, value in row.items() if key == "word" or value not in (None, "", {})}
        try:
            lines.append(json_line(kept))
        except (TypeError, ValueError) as error:
            raise WotdError(f"the word {word.text!r} can't be written as JSON ({error}); mend its fields") from error
    write_atomically(Path(path), b"".join(lines))
