"""Word families: every form that shares a Porter2 stem, so that no family crosses a train/test split."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from wotd_mlx.words.normal import normal


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=1 << 17)
def family(word: str) -> str:
    """Return the key of a word's family: the Porter2 stem of its normal form.

    Total on any string: what the stemmer has no rule for comes back in normal form, and the empty string stays empty.

    Reference:
        Porter 2001, "Snowball: a language for stemming algorithms", the English (Porter2) stemmer.
    """
    return str(_stemmer().stemWord(normal(word)))
