"""One form of a word or text, however it was typed: what decides whether two texts are the same."""

from __future__ import annotations

import unicodedata

_UNSEEN = ("Cf", "Cc")
"""Format and control characters: a byte order mark, zero-width spaces and joiners, soft hyphens, direction marks."""


def normal(text: str) -> str:
    """The form of a text that is looked up and embedded: NFC, case folded, one space where there were blanks, and
    without what nobody sees.

    Total, and idempotent: ``normal(normal(text)) == normal(text)``.
    """
    # What isn't seen goes first: between two blanks it would leave two.
    seen = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _UNSEEN)
    # Folding undoes what NFC composes, so it works on the parts (the Unicode Standard, D145).
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", seen).casefold())
    return " ".join(folded.split())
