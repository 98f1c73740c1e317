"""The built-in table, 12 corpora of 100 words, and the lexicon that trains and tests the codes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from wotd_mlx.schemas import Corpus, Word
from wotd_mlx.words.table import read_table

DATA = Path(__file__).parent / "data"
BUILTIN = DATA / "builtin.tsv"
LEXICON = DATA / "lexicon.tsv"


@cache
def load_builtin() -> Corpus:
    """Return the 1,200 built-in words, with the lexicon beside them; no text is in both."""
    return Corpus("builtin", read_table(BUILTIN), load_lexicon())


@cache
def load_lexicon() -> tuple[Word, ...]:
    """Return today's commonest words and rarer ones that the evidence labels, without the built-in words."""
    return read_table(LEXICON)
