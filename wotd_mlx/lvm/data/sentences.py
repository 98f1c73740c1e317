"""Articles as ordered sentences, read from a table or from plain text, and dealt out whole to the parts of a split."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.io.files import read_text
from wotd_mlx.io.records import shown
from wotd_mlx.io.table import read_table
from wotd_mlx.schemas import MissingError, WotdError

log = logging.getLogger("wotd_mlx")

Rows = NDArray[np.int64]

_NEEDED = ("article_id", "sentence")
_HINT = f"give a TSV with the columns {', '.join(_NEEDED)}, a text file, or a folder of them"
_CLOSING = "[\"'”’)]"
_SENTENCE_END = re.compile(rf"(?:(?<=[.!?])|(?<=[.!?]{_CLOSING})|(?<=[.!?]{_CLOSING}{{2}}))\s+(?=[\"'“‘(]?[A-Z0-9])")


@dataclass(frozen=True)
class Sentences:
    """N sentences in reading order, those of an article side by side.

    Args:
        texts: the N sentences.
        starts: the first row of each article, and N at the end.
        titles, topics: one an article; empty where unknown.
    """

    texts: tuple[str, ...]
    starts: Rows
    titles: tuple[str, ...]
    topics: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def articles(self) -> int:
        return len(self.titles)

    @cached_property
    def article(self) -> Rows:
        """(N,) the number of each row's article."""
        return np.repeat(np.arange(self.articles), np.diff(self.starts))

    @cached_property
    def position(self) -> Rows:
        """(N,) how many sentences of its article stand before each row."""
        return np.arange(len(self)) - self.starts[self.article]

    def rows(self, articles: Rows, after: int = 0) -> Rows:
        """Rows of the given articles that have ``after`` sentences before them at least."""
        chosen = np.zeros(self.articles, bool)
        chosen[articles] = True
        return np.flatnonzero(chosen[self.article] & (self.position >= after))


@dataclass(frozen=True)
class Split:
    """Numbers of the articles to train on, to choose by and to test on; none is in two of them."""

    train: Rows
    valid: Rows
    test: Rows


def split_by_article(sentences: Sentences, valid: float = 0.10, test: float = 0.05) -> Split:
    """Deal whole articles out at random, always alike: trainings of different seeds can be compared.

    Raises:
        WotdError: fewer than three articles, or none left to train on.
    """
    count = sentences.articles
    if count < 3:
        raise WotdError(
            f"the data has {count} article{'s' * (count != 1)} of two sentences or more; "
            "training, validation and test need one each at least, and some hundreds to learn anything"
        )
    order = np.random.default_rng(0).permutation(count)
    first = max(1, round(valid * count))
    second = first + max(1, round(test * count))
    if second >= count:
        raise WotdError(f"valid {valid} and test {test} of {count} articles leave none to train on; lower them")
    return Split(*(np.sort(part) for part in (order[second:], order[:first], order[first:second])))


def read_sentences(path: Path) -> Sentences:
    """A TSV table, a text file (an article), or a folder of text files (an article each).

    The table has the columns ``article_id`` and ``sentence``; ``sent_idx`` sorts an article's rows, ``title`` and
    ``topic`` describe it (topics may also stand in ``articles.tsv`` beside the table). An article of one sentence has
    no next one: such are left out, in one line of the log.

    Raises:
        MissingError: no such file, or a folder without texts.
        WotdError: columns missing, a damaged row, or nothing that has a next sentence.
    """
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if not files:
            raise MissingError(f"the folder {path} has no .txt files; put an article in each, or give the TSV itself")
        return _build(_read_texts(files), path)
    if path.suffix == ".txt":
        return _build(_read_texts([path]), path)
    return _build(_read_table(path), path)


@dataclass
class _Article:
    title: str
    topic: str
    rows: list[tuple[int, str]]


def _read_table(path: Path) -> list[_Article]:
    table = read_table(path, "\t", _NEEDED, _HINT, quoted=False)
    key, sentence, title, topic, position = (
        table.columns.index(name) if name in table.columns else None
        for name in (*_NEEDED, "title", "topic", "sent_idx")
    )
    assert key is not None
    assert sentence is not None
    topics = _read_topics(path.with_name("articles.tsv")) if topic is None else {}
    articles: dict[str, _Article] = {}
    for number, row in table.rows:
        name = row[key]
        found = articles.get(name)
        if found is None:
            about = topics.get(name, "") if topic is None else row[topic]
            found = articles[name] = _Article(name if title is None else row[title], about, [])
        at = len(found.rows) if position is None else _position(row[position], path, number)
        if not (text := row[sentence]).strip():
            raise WotdError(f"{path}:{number}: the sentence is empty; remove the line")
        found.rows.append((at, text))
    for found in articles.values():
        found.rows.sort(key=lambda row: row[0])
    return list(articles.values())


def _position(cell: str, path: Path, number: int) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) < 10):
        raise WotdError(f"{path}:{number}: sent_idx is {shown(cell)}, expected a whole number")
    return int(cell)


def _read_topics(path: Path) -> dict[str, str]:
    """Article -> topic, as far as a table beside the sentences says."""
    if not path.is_file():
        return {}
    header, *rows = (line.split("\t") for line in _lines(path))
    if not {"article_id", "topic"} <= set(header):
        return {}
    key, topic = header.index("article_id"), header.index("topic")
    return {row[key]: row[topic] for row in rows if len(row) == len(header)}


def _read_texts(files: Sequence[Path]) -> list[_Article]:
    return [_Article(f.stem, "", list(enumerate(_split(_lines(f))))) for f in files]


def _lines(path: Path) -> list[str]:
    return read_text(path, _HINT).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _split(lines: Sequence[str]) -> Iterator[str]:
    """Sentences of a text whose paragraphs stand apart by blank lines."""
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        yield from (s for s in _SENTENCE_END.split(" ".join(paragraph.split())) if s)


def _build(articles: list[_Article], path: Path) -> Sentences:
    kept = [a for a in articles if len(a.rows) > 1]
    if not kept:
        raise WotdError(f"{path} holds no article of two sentences or more, so there is no next sentence to predict")
    if lone := len(articles) - len(kept):
        log.info("%d of %d articles have one sentence, so no next one; left out", lone, len(articles))
    return Sentences(
        tuple(text for a in kept for _, text in a.rows),
        np.cumsum([0, *(len(a.rows) for a in kept)]),
        tuple(a.title for a in kept),
        tuple(a.topic for a in kept),
    )
