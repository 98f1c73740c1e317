"""Words and labels as a CSV: the first column is the word, each other one an attribute, an empty cell no label."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

from wotd_mlx.schemas import Attribute, Corpus, Word, WotdError

log = logging.getLogger("wotd_mlx")

SUFFIXES = {".csv": ",", ".tsv": "\t"}


def read_csv(path: str | Path) -> tuple[Corpus, tuple[Attribute, ...]]:
    """Read a corpus named after its file, and its attributes: a column each, the values in order of first appearance.

    Values lie along a coordinate in that order; name ``attributes`` in the settings to give them another. A word that
    comes again is dropped, and one log line counts these.

    Raises:
        WotdError: no such file, no UTF-8, no words, or a row that doesn't fit the header; it names file and line.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise WotdError(f"{path} can't be read ({error.strerror}); give a CSV of words") from error
    except UnicodeDecodeError as error:
        raise WotdError(f"{path}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from error
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=SUFFIXES[path.suffix], strict=True)
    words: dict[str, Word] = {}
    repeated = 0
    try:
        header = [name.strip() for name in next(rows, [])]
        if not header or not all(header) or len(set(header)) < len(header):
            raise WotdError(f"{path}:1: the header is {header}; expected different names, such as word,mood,register")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}:{rows.line_num}"
            if len(row) != len(header):
                raise WotdError(f"{where}: {len(row)} cells, the header has {len(header)}; quote a cell with a comma")
            word, *values = (cell.strip() for cell in row)
            if not word:
                raise WotdError(f"{where}: the first cell, the word, is empty")
            repeated += word in words
            labels = {name: value for name, value in zip(header[1:], values, strict=True) if value}
            words.setdefault(word, Word(word, labels, path.stem, str(path.name)))
    except csv.Error as error:
        raise WotdError(f"{path}:{rows.line_num}: not CSV ({error}); close its quotes") from error
    if not words:
        raise WotdError(f"{path} holds no words; write a header, such as word,mood, and a word a line")
    if repeated:
        log.warning("%s: %d repeated words dropped; the first of each counts", path, repeated)
    values_of = {
        name: tuple(dict.fromkeys(word.labels[name] for word in words.values() if name in word.labels))
        for name in header[1:]
    }
    if empty := [name for name, values in values_of.items() if not values]:
        raise WotdError(f"{path}: column {empty[0]!r} has no label at all; fill it or leave it out")
    attributes = tuple(Attribute(name, values) for name, values in values_of.items())
    return Corpus(path.stem, tuple(words.values())), attributes
