"""Word families: every form that shares a Porter2 stem, so that no family crosses a train/test split."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import Any


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=1 << 17)
def family(word: str) -> str:
    """Return the key of a word's family: the Porter2 stem of its case-folded NFKC form.

    Total on any string: what the stemmer has no rule for comes back folded, and the empty string stays empty.

    Reference:
        Porter 2001, "Snowball: a language for stemming algorithms", the English (Porter2) stemmer.
    """
    folded = unicodedata.normalize("NFKC", word).casefold().strip()
    return str(_stemmer().stemWord(folded))
