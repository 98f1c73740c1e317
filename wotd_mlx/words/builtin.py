"""The built-in table, 12 corpora of 100 words, and the lexicon that trains and tests the codes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from wotd_mlx.io.table import read_table as read_rows
from wotd_mlx.schemas import Corpus, Word
from wotd_mlx.words.table import read_table

DATA = Path(__file__).parent / "data"
BUILTIN = DATA / "builtin.tsv"
LEXICON = DATA / "lexicon.tsv"
WORKS = DATA / "works.tsv"
WORKS_COLUMNS = ("work", "author", "title", "year")


@cache
def load_builtin() -> Corpus:
    """Return the 1,200 built-in words, with the lexicon beside them; no text is in both."""
    return Corpus("builtin", read_table(BUILTIN), load_lexicon())


class NamedWork(NamedTuple):
    """What a work is called, and when it was written."""

    author: str
    title: str
    year: int

    def __str__(self) -> str:
        # Of a collection that lists what is in it, the first.
        title = re.split(r"[;(,]", self.title)[0].strip()
        return f"{self.author}, {title}{'' if title == self.title else ' …'} ({self.year})"


@cache
def load_works() -> dict[str, NamedWork]:
    """Return what the built-in words' sources are called, by the name of a work's file."""
    table = read_rows(WORKS, "\t", WORKS_COLUMNS, "reinstall wotd-mlx", quoted=False)
    return {work: NamedWork(author, title, int(year)) for _, (work, author, title, year) in table.rows}


@cache
def load_lexicon() -> tuple[Word, ...]:
    """Return today's commonest words and rarer ones that the evidence labels, without the built-in words."""
    return read_table(LEXICON)
