"""Words that were met come back when they are about to be forgotten: FSRS, by the package `fsrs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from wotd_mlx.taste.votes import DISLIKE, RATINGS, SKIP, Given, Vote


@dataclass(frozen=True)
class Due:
    """A word that should come back.

    Args:
        word: its normal form.
        due: since when, in UTC.
        recall: the probability that it is still known; None before the first review.
    """

    word: str
    due: datetime
    recall: float | None


def schedule(given: Sequence[Given], votes: Sequence[Vote], now: datetime) -> list[Due]:
    """Every word that was given, or liked or marked known unasked, but those skipped or disliked; the one that is
    longest due first.

    A word's first review is due on the day after it was met. The state of memory isn't stored: it is computed from the
    ratings, so that they are all that has to be kept.

    Reference:
        FSRS: Ye, Su and Cao, KDD 2022, doi 10.1145/3534678.3539081.
    """
    from fsrs import Card, Rating, Scheduler

    scheduler = Scheduler(enable_fuzzing=False)
    met: dict[str, datetime] = {}
    for one in given:
        met.setdefault(one.word, datetime.fromisoformat(one.at))
    cards: dict[str, Card] = {}
    put_aside: set[str] = set()
    for vote in votes:
        at = datetime.fromisoformat(vote.at).astimezone(UTC)
        met.setdefault(vote.word, at)
        if vote.kind in (SKIP, DISLIKE):
            put_aside.add(vote.word)
        elif vote.kind in RATINGS:
            card = cards.get(vote.word) or Card(card_id=1)
            # A clock that went back must not make the time between two reviews negative.
            if card.last_review is not None:
                at = max(at, card.last_review)
            cards[vote.word], _ = scheduler.review_card(card, Rating(1 + RATINGS.index(vote.kind)), at)
    found = []
    for word, at in met.items():
        if word in put_aside:
            continue
        if word in cards:
            recall = scheduler.get_card_retrievability(cards[word], now.astimezone(UTC))
            found.append(Due(word, cards[word].due, recall))
        elif at.date() < now.date():
            found.append(Due(word, at.astimezone(UTC), None))
    return sorted(found, key=lambda due: (due.due, due.word))


def due(given: Sequence[Given], votes: Sequence[Vote], now: datetime) -> list[Due]:
    """Of :func:`schedule` the words whose time has come."""
    return [one for one in schedule(given, votes, now) if one.due <= now.astimezone(UTC)]
