"""Words and labels as a CSV: the first column is the word, each other one an attribute, an empty cell no label."""

from __future__ import annotations

import logging
from pathlib import Path

from wotd_mlx.io.table import read_table
from wotd_mlx.schemas import Attribute, Corpus, Word, WotdError
from wotd_mlx.words.normal import normal

log = logging.getLogger("wotd_mlx")

SUFFIXES = {".csv": ",", ".tsv": "\t"}
WORD = "word"
"""The header's name of the column of words: told apart so from a table without a header."""


def read_csv(path: str | Path) -> tuple[Corpus, tuple[Attribute, ...]]:
    """Read a corpus named after its file, and its attributes: a column each, the values in order of first appearance.

    Values lie along a coordinate in that order; name ``attributes`` in the settings to give them another. Words are
    kept in their normal form; one that comes again, however it is typed, is dropped, and one log line counts these.
    Semicolons, tabs and bars part columns too.

    Raises:
        MissingError: no such file.
        WotdError: no UTF-8, no header that begins with ``word``, no words, or a row that doesn't fit the header; it
            names file and line.
    """
    path = Path(path)
    table = read_table(path, SUFFIXES[path.suffix], [WORD], "give a CSV of words with a header")
    if table.columns[0] != WORD:
        raise WotdError(f"{path}: the header begins with {table.columns[0]!r}; expected the column {WORD!r} first")
    words: dict[str, Word] = {}
    repeated = 0
    for line, row in table.rows:
        word, values = normal(row[0]), [cell.strip() for cell in row[1:]]
        if not word:
            raise WotdError(f"{path}:{line}: the first cell, the word, is empty")
        repeated += word in words
        labels = {name: value for name, value in zip(table.columns[1:], values, strict=True) if value}
        words.setdefault(word, Word(word, labels, path.stem, str(path.name)))
    if not words:
        raise WotdError(f"{path} holds no words; write a header, such as word,mood, and a word a line")
    if repeated:
        log.warning("%s: %d repeated words dropped; the first of each counts", path, repeated)
    values_of = {
        name: tuple(dict.fromkeys(word.labels[name] for word in words.values() if name in word.labels))
        for name in table.columns[1:]
    }
    if empty := [name for name, values in values_of.items() if not values]:
        raise WotdError(f"{path}: column {empty[0]!r} has no label at all; fill it or leave it out")
    attributes = tuple(Attribute(name, values) for name, values in values_of.items())
    return Corpus(path.stem, tuple(words.values())), attributes
