"""What is known of a person: their votes, what their taste rests on, and what they would likely love."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wotd_mlx.daily.day import Daily
from wotd_mlx.taste.posterior import Posterior
from wotd_mlx.taste.votes import LIKE, VOTES

_SHOWN = 8


@dataclass(frozen=True)
class Profile:
    """A person, as far as their votes tell.

    Args:
        votes: how many of each kind.
        days: on how many days a word was given.
        liked: the words that were liked last.
        rests_on: how much of the taste each sense of likeness explains; they add up to 1.
        likely: words not given yet that are likeliest to be liked.
        labels: of the liked words with evidence, how many have each value of each attribute.
        known_above: uses in a million words of today, above which a word is likelier known than not.
    """

    votes: dict[str, int]
    days: int
    liked: tuple[str, ...]
    rests_on: dict[str, float]
    likely: tuple[str, ...]
    labels: dict[str, dict[str, int]]
    known_above: float

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "rests_on": {name: round(share, 3) for name, share in self.rests_on.items()}}


def profile(daily: Daily) -> Profile:
    """Sum up a person's votes."""
    votes, given, known = daily.store.votes(), daily.store.given(), daily.words.known
    said = daily.said(votes, given)
    pool, rows = daily.pool(votes, said.rows.tolist())
    at = {row: place for place, row in enumerate(rows.tolist())}
    places = np.array([at[row] for row in said.rows.tolist()], np.int64)
    posterior = Posterior(pool.features, places, said.votes, said.noise)
    gone = [at[row] for one in given if (row := known.row_of.get(one.word)) in at]
    free = pool.without([*gone, *places.tolist()])
    best = np.argsort(-np.where(free, posterior.mean() * pool.worth, -np.inf), kind="stable")[:_SHOWN]
    liked = list(dict.fromkeys(vote.word for vote in reversed(votes) if vote.kind == LIKE))
    labels: dict[str, Counter[str]] = {attribute.name: Counter() for attribute in known.attributes}
    for word in liked:
        for name, value in (known.evidence_of(known.row_of[word]) if word in known.row_of else {}).items():
            labels[name][value] += 1
    kinds = Counter(vote.kind for vote in votes)
    return Profile(
        votes={kind: kinds[kind] for kind in VOTES},
        days=len({one.day for one in given}),
        liked=tuple(liked[:_SHOWN]),
        rests_on=posterior.rests_on if liked else {},
        likely=tuple(known.words[rows[place]] for place in best.tolist()),
        labels={name: dict(counts.most_common()) for name, counts in labels.items() if counts},
        known_above=round(10 ** (daily.knows(votes).above - 3), 2),
    )
