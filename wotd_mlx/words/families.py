"""Word families: *happy*, *unhappily* and *happiness* are one, so that none crosses a train/test split or an answer."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from wotd_mlx.io.files import read_bytes
from wotd_mlx.words.forms import irregular
from wotd_mlx.words.normal import normal

MERGED = Path(__file__).parent / "data" / "families.tsv"


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@cache
def _merged() -> dict[str, str]:
    """Stem → the key of its family, where that isn't itself: made by ``scripts/build_words.py``."""
    lines = read_bytes(MERGED, "reinstall wotd-mlx").decode().splitlines()
    return dict(line.split("\t") for line in lines)


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """Return the Porter2 stem of a word's normal form.

    Reference:
        Porter 2001, "Snowball: a language for stemming algorithms", the English (Porter2) stemmer.
    """
    return str(_stemmer().stemWord(normal(word)))


def family(word: str) -> str:
    """Return the key of a word's family: the stem of the family's commonest word.

    Irregular forms (*dreamt*) give way to their lemma, Porter2 takes endings off, and a table joins the stems of
    derived words (*unhappy*, *beautiful*) and of other spellings (*colour*). Total on any string: what none of these
    knows comes back in normal form, and the empty string stays empty.
    """
    form = normal(word)
    # Before the stemmer sees it: to Porter2, *overate* and *forewent* are forms of *over* and *forew*.
    key = stem(irregular().get(form, form))
    return _merged().get(key, key)
