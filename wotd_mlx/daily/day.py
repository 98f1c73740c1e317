"""Which words a day has: chosen once, by what was known of the person then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np

from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.choose import Pool, Said, Scores, by_taste, choose
from wotd_mlx.taste.features import Features, Rows
from wotd_mlx.taste.rarity import Known
from wotd_mlx.taste.votes import DISLIKE, KNOW, LIKE, SKIP, Given, Store, Vote
from wotd_mlx.vocabulary import Vocabulary

_OPINIONS = (LIKE, DISLIKE, SKIP)


def unskipped(given: Sequence[Given], votes: Sequence[Vote]) -> list[Given]:
    """The words that stand: those that were skipped are put aside."""
    skipped = {vote.word for vote in votes if vote.kind == SKIP}
    return [one for one in given if one.word not in skipped]


class Daily:
    """A person's days.

    Args:
        words: those that can be given.
        store: what the person said, and was given.
        config: how a taste is learnt and words are chosen.
        predictor: ``OUT/models/NAME`` of a training: its predictions choose in place of the taste.
    """

    def __init__(
        self, words: Vocabulary, store: Store, config: TasteConfig | None = None, predictor: Path | None = None
    ):
        self.words, self.store, self.config = words, store, config or TasteConfig()
        self.predictor = predictor

    def of(self, day: date, now: datetime, count: int = 1) -> list[Given]:
        """The words of a day, less those that were skipped; those that aren't there yet are chosen and stored. They are
        fewer than ``count`` where no more are left.

        Args:
            now: the moment, with its offset from UTC.
        Raises:
            WotdError: no word is left.
        """
        name = day.isoformat()
        while True:
            given, votes = self.store.given(name), self.store.votes()
            standing = unskipped(given, votes)
            if len(standing) >= count:
                return standing[:count]
            fresh = self._choose(name, votes, count - len(standing))
            if not fresh and standing:
                return standing
            if not fresh:
                raise WotdError(f"all words of {self.words.name} were given or voted on; train a run with more")
            at = now.isoformat(timespec="microseconds")
            # Whoever is first wins: then the loop finds the other's words.
            self.store.give(name, len(given), [Given(name, word, at) for word in fresh])

    def _choose(self, day: str, votes: Sequence[Vote], count: int) -> list[str]:
        given = self.store.given()
        rows_of = self.words.known.row_of
        before = [row for one in given if (row := rows_of.get(one.word)) is not None]
        last = max((one.day for one in given if one.day < day), default=day)
        near = [row for one in given if one.day in (day, last) and (row := rows_of.get(one.word)) is not None]
        said = self.said(votes, given)
        pool, rows = self.pool(votes, [*before, *said.rows.tolist()])
        at = {row: place for place, row in enumerate(rows.tolist())}
        here = Said(np.array([at[row] for row in said.rows.tolist()], np.int64), said.votes, said.noise)
        rng = np.random.default_rng([self.store.seed, date.fromisoformat(day).toordinal(), len(given)])
        passed = [rows_of[vote.word] for vote in votes if vote.word in rows_of]
        pool = Pool(pool.features, pool.families, pool.worth, pool.without([at[row] for row in passed if row in at]))
        chosen = choose(
            pool, here, [at[row] for row in before], [at[row] for row in near], count, rng, self._scores(rows)
        )
        return [self.words.known.words[rows[place]] for place in chosen]

    def _scores(self, rows: Rows) -> Scores:
        if self.predictor is None:
            return by_taste
        from wotd_mlx.daily.predict import by_prediction

        return by_prediction(self.predictor, self.words.known.word_rows.rows(rows), self.words.known.embedding)

    def said(self, votes: Sequence[Vote], given: Sequence[Given]) -> Said:
        """What the votes say of known words, by their rows in the table, the latest last; a word's last counts."""
        config, rows_of = self.config, self.words.known.row_of
        shown = {one.word for one in given}
        last: dict[str, str] = {}
        for vote in votes:
            if vote.kind in _OPINIONS and vote.word in rows_of:
                last.pop(vote.word, None)
                last[vote.word] = vote.kind
        noise = {LIKE: config.noise, DISLIKE: config.noise, SKIP: config.noise * config.skipped}
        found = [
            (rows_of[word], float(kind == LIKE), config.sure if word not in shown and kind != SKIP else noise[kind])
            for word, kind in list(last.items())[-config.last :]
        ]
        if sum(kind == LIKE for kind in last.values()) < config.few:
            seeds = [rows_of[word] for word in config.seeds if word in rows_of and word not in last]
            found += [(row, 1.0, config.noise * config.seed) for row in seeds]
        rows, liked, sure = zip(*found, strict=True) if found else ((), (), ())
        return Said(np.array(rows, np.int64), np.array(liked, np.float32), np.array(sure, np.float32))

    def pool(self, votes: Sequence[Vote], also: Sequence[int]) -> tuple[Pool, Rows]:
        """The words worth meeting, one a family, and those of rows ``also``, which can't be chosen; and the rows (M,)
        of all of them."""
        known = self.words.known
        meet = known.one_a_family(np.flatnonzero(known.meet))
        rows = np.union1d(meet, np.array(also, np.int64))
        zipf = self.words.zipf[rows]
        labels, codes = known.label_shares(rows), known.id_shares(rows)
        vectors = known.word_rows.rows(rows), known.first_senses(rows)
        features = Features.of(*vectors, labels, zipf, codes, self.config)
        worth = np.asarray(1 - self.knows(votes)(zipf), np.float32)
        return Pool(features, known.families[rows], worth, np.isin(rows, meet)), rows

    def knows(self, votes: Sequence[Vote]) -> Known:
        """How common a word has to be for the person to know it already, as far as the votes tell."""
        knew, others = (
            [float(self.words.zipf[row]) for row in self._rows(votes, *kinds)] for kinds in ((KNOW,), _OPINIONS)
        )
        return Known(knew, others)

    def past(self, day: date, most: int) -> list[Given]:
        """The latest words that were given up to a day, each once, less those that were skipped."""
        given = [one for one in self.store.given() if one.day <= day.isoformat()]
        once = {one.word: one for one in unskipped(given, self.store.votes())}
        return list(once.values())[-most:]

    def _rows(self, votes: Sequence[Vote], *kinds: str) -> list[int]:
        found = (self.words.known.row_of.get(vote.word) for vote in votes if vote.kind in kinds)
        return [row for row in found if row is not None]
