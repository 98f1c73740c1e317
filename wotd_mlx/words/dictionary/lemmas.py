"""Base forms that an inflected form may come from, by its ending.

Reference:
    morphy(7WN) of Princeton WordNet: its rules of detachment; doubled consonants, which it lists, follow a rule here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_RULES = (
    ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("ses", "s"), ("xes", "x"), ("zes", "z"),
    ("ches", "ch"), ("shes", "sh"), ("es", "e"), ("es", ""), ("s", ""),
    ("ied", "y"), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ("ier", "y"), ("iest", "y"), ("er", "e"), ("er", ""), ("est", "e"), ("est", ""),
)  # fmt: skip
_DOUBLED = re.compile(r"(.+([bdfgklmnprstvz]))\2(?:ed|ing|er|est)")
_SHORTEST = 2


def lemmas(form: str) -> Iterator[str]:
    """Texts that ``form`` may be a form of, the likeliest first; whether one is a word, a dictionary has to tell."""
    if doubled := _DOUBLED.fullmatch(form):
        yield doubled[1]
    if form.endswith("ss"):
        return
    for end, base in _RULES:
        if form.endswith(end) and len(form) - len(end) >= _SHORTEST:
            yield form[: len(form) - len(end)] + base
