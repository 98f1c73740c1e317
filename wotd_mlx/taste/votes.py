"""What a person said of words, which words they were given, and what keeps both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from wotd_mlx.schemas import WotdError
from wotd_mlx.words.normal import normal

LIKE, DISLIKE, SKIP, KNOW = "like", "dislike", "skip", "know"
VOTES = (LIKE, DISLIKE, SKIP, KNOW)
"""What a person says of a word: liked, not liked, another one today, known already."""
RATINGS = ("again", "hard", "good", "easy")
"""How well a word came back to mind in a review, FSRS's four."""

LONGEST = 200
"""Characters of a word."""
_PROFILE = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True)
class Vote:
    """One vote, or a review's rating.

    Words are kept, not IDs: they mean the same after another training.

    Args:
        word: its normal form.
        kind: of :data:`VOTES` or :data:`RATINGS`.
        at: when, ISO 8601 with the offset from UTC.
        day: the day of the person's own calendar, ISO 8601.

    Raises:
        WotdError: one of them isn't so.
    """

    word: str
    kind: str
    at: str
    day: str

    def __post_init__(self) -> None:
        _check_word(self.word)
        if self.kind not in (*VOTES, *RATINGS):
            raise WotdError(f"a vote of kind {self.kind[:40]!r} is unknown; expected one of {VOTES} or {RATINGS}")
        _check_time(self.at)
        _check_day(self.day)

    @classmethod
    def of(cls, word: str, kind: str, now: datetime) -> Vote:
        """A vote of this moment, in the person's own time."""
        return cls(word, kind, now.isoformat(timespec="microseconds"), now.date().isoformat())


@dataclass(frozen=True)
class Given:
    """A word that was given on a day, and when; a day's words stand in the order in which they were chosen."""

    day: str
    word: str
    at: str

    def __post_init__(self) -> None:
        _check_word(self.word)
        _check_time(self.at)
        _check_day(self.day)


def _check_word(word: str) -> None:
    if not word or normal(word) != word or len(word) > LONGEST:
        raise WotdError(f"{word[:40]!r} is no word in its normal form, of at most {LONGEST} characters")


def _check_time(at: str) -> None:
    try:
        aware = datetime.fromisoformat(at).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise WotdError(f"{at[:40]!r} is no time; expected one such as 2026-11-30T08:00:00+01:00")


def _check_day(day: str) -> None:
    try:
        plain = date.fromisoformat(day).isoformat() == day
    except ValueError:
        plain = False
    if not plain:
        raise WotdError(f"{day[:40]!r} is no day; expected one such as 2026-11-30")


def check_profile(name: str) -> str:
    """A profile's name, which becomes a file's.

    Raises:
        WotdError: it is empty, longer than 40 characters, or has others than letters, digits, - and _.
    """
    if not _PROFILE.fullmatch(name):
        raise WotdError(f"a profile {name[:60]!r} is not possible; use 1 to 40 letters, digits, - and _")
    return name


class Store(Protocol):
    """Keeps a profile's votes and given words; several processes may use one at a time.

    What a method was called with is kept for good when it returns.
    """

    @property
    def seed(self) -> int:
        """A number drawn once a profile: two people with the same votes are given different words."""

    def add(self, votes: Sequence[Vote]) -> None:
        """Keep votes, all or none."""

    def undo(self) -> Vote | None:
        """Take the last vote back and return it; None where there is none."""

    def votes(self) -> list[Vote]:
        """All votes, in the order in which they were given."""

    def given(self, day: str | None = None) -> list[Given]:
        """All words that were given, or those of a day."""

    def give(self, day: str, after: int, given: Sequence[Given]) -> list[Given]:
        """Give words on a day of which ``after`` were known; return all of the day.

        Where another process has given some meanwhile, its own stand, and these are forgotten.
        """

    def merge(self, votes: Sequence[Vote], given: Sequence[Given]) -> tuple[int, int]:
        """Add what isn't there yet, all or none; return how many votes and given words that were."""

    def close(self) -> None:
        """Let go of it."""
