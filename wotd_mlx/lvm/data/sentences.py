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

from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

Rows = NDArray[np.int64]

_NEEDED = ("article_id", "sentence")
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
    def place(self) -> Rows:
        """(N,) how many sentences of its article stand before each row."""
        return np.arange(len(self)) - self.starts[self.article]

    def rows(self, articles: Rows, after: int = 0) -> Rows:
        """Rows of the given articles that have ``after`` sentences before them at least."""
        chosen = np.zeros(self.articles, bool)
        chosen[articles] = True
        return np.flatnonzero(chosen[self.article] & (self.place >= after))


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
        WotdError: no such file, columns missing, a damaged row, or nothing that has a next sentence.
    """
    if path.is_dir():
        files = sorted(path.glob("*.txt"))
        if not files:
            raise WotdError(f"the folder {path} has no .txt files; put an article in each, or give the TSV itself")
        return _build(_read_texts(files), path)
    if not path.is_file():
        raise WotdError(f"no data file {path}; give a TSV with the columns {', '.join(_NEEDED)}, or a text file")
    if path.suffix == ".txt":
        return _build(_read_texts([path]), path)
    return _build(_read_table(path), path)


@dataclass
class _Article:
    title: str
    topic: str
    rows: list[tuple[int, str]]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WotdError(f"{path} can't be read as UTF-8 text: {error}") from error


def _cells(path: Path) -> Iterator[list[str]]:
    """The cells of each line, of an empty one none; quotation marks mean nothing in this format."""
    return (line.split("\t") if line else [] for line in _lines(path))


def _read_table(path: Path) -> list[_Article]:
    reader = _cells(path)
    header = next(reader)
    if missing := [name for name in _NEEDED if name not in header]:
        raise WotdError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"its first line has {', '.join(header) or 'nothing'}, expected {', '.join(_NEEDED)} parted by tabs"
        )
    column = {name: header.index(name) for name in header}
    topics = _read_topics(path.with_name("articles.tsv")) if "topic" not in column else {}
    articles: dict[str, _Article] = {}
    for number, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise WotdError(f"{path}, line {number}: {len(row)} columns, expected {len(header)} as in the first line")
        key = row[column["article_id"]]
        found = articles.get(key)
        if found is None:
            title = row[column["title"]] if "title" in column else key
            topic = row[column["topic"]] if "topic" in column else topics.get(key, "")
            found = articles[key] = _Article(title, topic, [])
        place = row[column["sent_idx"]] if "sent_idx" in column else str(len(found.rows))
        if not re.fullmatch(r"[0-9]{1,9}", place):
            raise WotdError(f"{path}, line {number}: sent_idx is {place!r}, expected a whole number")
        if not row[column["sentence"]].strip():
            raise WotdError(f"{path}, line {number}: the sentence is empty; remove the line")
        found.rows.append((int(place), row[column["sentence"]]))
    for found in articles.values():
        found.rows.sort(key=lambda row: row[0])
    return list(articles.values())


def _read_topics(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    header, *rows = _cells(path)
    if not {"article_id", "topic"} <= set(header):
        return {}
    key, topic = header.index("article_id"), header.index("topic")
    return {row[key]: row[topic] for row in rows if len(row) == len(header)}


def _read_texts(files: Sequence[Path]) -> list[_Article]:
    return [_Article(f.stem, "", list(enumerate(_split(_lines(f))))) for f in files]


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
