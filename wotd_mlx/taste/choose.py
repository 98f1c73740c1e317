"""Choosing words for a taste: what is likely liked, not too like the others, and now and then something new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors
from wotd_mlx.taste.features import Features, Rows
from wotd_mlx.taste.posterior import Posterior

CANDIDATES = 200
"""Words that a sample of the posterior is drawn for: those with the highest mean."""


@dataclass(frozen=True)
class Said:
    """What a person said of words: rows (n,), 1 liked and 0 not (n,), and the variance of each (n,)."""

    rows: Rows
    votes: Vectors
    noise: Vectors

    @property
    def liked(self) -> Rows:
        """The rows that were liked."""
        return self.rows[self.votes > 0.5]


@dataclass(frozen=True)
class Pool:
    """The words that may be chosen.

    Args:
        features: of M words.
        families: (M,) the number of each word's family.
        worth: (M,) what each is worth beside how much it is liked, such as the chance that it isn't known already.
        open: (M,) whether it may be chosen at all.
    """

    features: Features
    families: NDArray[np.int32]
    worth: Vectors
    open: NDArray[np.bool_]

    def without(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """(M,) what may be chosen when these words, and so their families, were given."""
        return self.open & ~np.isin(self.families, self.families[list(rows)])


Scores = Callable[[Pool, Said, NDArray[np.bool_], np.random.Generator], NDArray[np.float64]]
"""A strategy: (M,) the higher, the better; of words that are open (M,), others count for nothing."""


def by_taste(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    r"""What the person likely thinks of the words with the highest mean, and, while few were voted on, a sample of what
    they may think of them.

    .. math:: (1 - t)\,E f + t f, \quad f \sim p(f \mid y), \quad t = \text{trust} / (\text{trust} + n)

    Without votes this is Thompson sampling; it ends as votes come in, since a person has more patience for trials on
    the first days than on the sixtieth.
    """
    posterior = Posterior(pool.features, said.rows, said.votes, said.noise)
    mean = posterior.mean()
    best = _highest(np.where(free, mean * pool.worth, -np.inf), CANDIDATES)
    trust = pool.features.config.trust
    share = trust / (trust + len(said.rows)) if trust else 0.0
    found = np.full(len(mean), -np.inf)
    found[best] = ((1 - share) * mean[best] + share * posterior.draw(best, rng)) * pool.worth[best]
    return found


def by_mean(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """What the person likely thinks of each word."""
    return np.asarray(Posterior(pool.features, said.rows, said.votes, said.noise).mean() * pool.worth, np.float64)


def by_chance(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Any word."""
    return rng.random(len(free))


def by_use(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """The commonest words first."""
    return pool.features.rarity.astype(np.float64)


def by_nearness(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """The nearest to the mean of what was liked."""
    return np.asarray(pool.features.unit @ pool.features.unit[said.liked].sum(axis=0), np.float64)


def by_codes(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """As :func:`by_taste`, from nothing but the IDs of words."""
    return by_taste(replace(pool, features=replace(pool.features, by_codes=True)), said, free, rng)


STRATEGIES: dict[str, Scores] = {
    "taste": by_taste,
    "codes": by_codes,
    "mean": by_mean,
    "nearest": by_nearness,
    "random": by_chance,
    "common": by_use,
}


def choose(
    pool: Pool,
    said: Said,
    given: Sequence[int],
    recent: Sequence[int],
    count: int,
    rng: np.random.Generator,
    scores: Scores = by_taste,
) -> list[int]:
    """``count`` rows for a day, none of a family that was given or voted on before.

    Of any seven words at least one lies outside what was liked before it. None is too like another of the day or of
    ``recent`` ones, as long as others are left.

    Args:
        given: rows that were given before, in order.
        recent: those of them that were given the day before.
    """
    config, unit = pool.features.config, pool.features.unit
    free = pool.without([*given, *said.rows.tolist()])
    found = scores(pool, said, free, rng)
    outside = _nearness(unit, unit[said.liked]) <= config.outside
    chosen: list[int] = []
    since = _since_new(pool, said.liked, given)
    for _ in range(count):
        kept = free & pool.without(chosen)
        far = kept & (_nearness(unit, unit[[*recent, *chosen]]) < config.apart)
        # What was liked has a core only after some votes.
        new = since + 1 >= config.new and len(said.liked) > 0
        wanted = next((mask for mask in ((far & outside, far, kept) if new else (far, kept)) if mask.any()), None)
        if wanted is None:
            break
        scored = found
        if new and not np.isfinite(found[wanted]).any():
            scored = scores(pool, said, wanted, rng)
        chosen.append(int(np.where(wanted, scored, -np.inf).argmax()))
        since = 0 if outside[chosen[-1]] else since + 1
    return chosen


def _since_new(pool: Pool, liked: Rows, given: Sequence[int]) -> int:
    """How many words were given since the last that lay outside what was liked before it."""
    config, unit = pool.features.config, pool.features.unit
    for back, row in enumerate(reversed(given)):
        before = liked[~np.isin(liked, given[len(given) - 1 - back :])]
        if back >= config.new or float(_nearness(unit[[row]], unit[before]).item()) <= config.outside:
            return back
    return len(given)


def _nearness(unit: Vectors, others: Vectors) -> Vectors:
    """The cosine of each of unit (M, D) with the nearest of others (N, D): (M,); −1 where there are none."""
    return np.asarray((unit @ others.T).max(axis=1, initial=-1), np.float32)


def _highest(scores: NDArray[np.float64] | Vectors, count: int) -> Rows:
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    return np.asarray(best[np.isfinite(scores[best])], np.int64)
