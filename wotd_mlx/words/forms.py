"""Base forms that an inflected form may come from: by a list of irregular ones, and by its ending.

Reference:
    morphy(7WN) of Princeton WordNet: its rules of detachment; doubled consonants, which it lists, follow a rule here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from wotd_mlx.io.files import read_bytes

IRREGULAR = Path(__file__).parent / "data" / "irregular.tsv"
"""Form, lemma: made by ``scripts/build_words.py``."""

_RULES = (
    ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("ses", "s"), ("xes", "x"), ("zes", "z"),
    ("ches", "ch"), ("shes", "sh"), ("es", "e"), ("es", ""), ("s", ""),
    ("ied", "y"), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ("ier", "y"), ("iest", "y"), ("er", "e"), ("er", ""), ("est", "e"), ("est", ""),
)  # fmt: skip
_DOUBLED = re.compile(r"(.+([bdfgklmnprstvz]))\2(?:ed|ing|er|est)")
_SHORTEST = 2


@cache
def irregular_bytes() -> bytes:
    """The list of irregular forms as it lies there: what a digest is taken of."""
    return read_bytes(IRREGULAR, "reinstall wotd-mlx")


@cache
def irregular() -> dict[str, str]:
    """Form → lemma, of forms that are no words of their own: *dreamt*, *geese*, *hath*."""
    return dict(line.split("\t") for line in irregular_bytes().decode().splitlines())


def lemmas(form: str) -> Iterator[str]:
    """Texts that ``form`` may be a form of, the likeliest first; whether one is a word, a dictionary has to tell."""
    if form in irregular():
        yield irregular()[form]
    yield from by_rule(form)


def by_rule(form: str) -> Iterator[str]:
    """The same by endings alone."""
    if doubled := _DOUBLED.fullmatch(form):
        yield doubled[1]
    if form.endswith("ss"):
        return
    for end, base in _RULES:
        if form.endswith(end) and len(form) - len(end) >= _SHORTEST:
            yield form[: len(form) - len(end)] + base
