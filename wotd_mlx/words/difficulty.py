"""How hard a word is for a reader: one of three classes, by how often it is used and its CEFR level."""

from __future__ import annotations

from wotd_mlx.schemas import Word

DIFFICULTIES = ("easy", "medium", "hard")
EASY, MEDIUM, HARD = range(3)

_EASY_ZIPF, _HARD_ZIPF = 4.0, 3.0
"""Ten uses in a million words, and one."""
TYPICAL_ZIPF = (4.5, 3.5, 2.0)
"""Of a word of each class of which no use was counted."""


def difficulty(word: Word) -> int:
    """Return the number of a word's class in :data:`DIFFICULTIES`.

    Easy is what learners of the levels A1 and A2 know, or what comes ten times in a million words; hard what comes less
    than once; where nobody counted, the levels C1 and C2. A word of which neither is known is of medium difficulty.
    """
    if word.cefr in ("A1", "A2") or (word.zipf is not None and word.zipf >= _EASY_ZIPF):
        return EASY
    if word.zipf is None:
        return HARD if word.cefr in ("C1", "C2") else MEDIUM
    return HARD if word.zipf < _HARD_ZIPF else MEDIUM
