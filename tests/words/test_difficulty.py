"""Classes of difficulty by frequency and level."""

import pytest

from wotd_mlx.schemas import Word
from wotd_mlx.words.difficulty import DIFFICULTIES, difficulty


@pytest.mark.parametrize(
    ("zipf", "cefr", "expected"),
    [
        (4.0, None, "easy"), (3.99, None, "medium"), (3.0, "C2", "medium"), (2.99, "B1", "hard"), (1.0, "A2", "easy"),
        (None, "C1", "hard"), (None, "B2", "medium"), (None, None, "medium"), (6.0, "C2", "easy"),
    ],
)  # fmt: skip
def test_classes(zipf, cefr, expected):
    assert DIFFICULTIES[difficulty(Word("w", zipf=zipf, cefr=cefr))] == expected
