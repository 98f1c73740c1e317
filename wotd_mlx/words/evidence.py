"""The evidence behind every label: how often a lemma stands in each work, in verse, in prose, and today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.words import screen
from wotd_mlx.words.labels import DELTA_MIN, VERSE_DELTA_MIN, LogOdds, combine, informative_prior, log_odds
from wotd_mlx.words.reading import Tally, Work, read_work, tally

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WORKS_MIN = 3
LEFT_Z_MIN = 2.6  # a word that one work owns must still lean this surely without that work
TOP_SHARE_MAX = 0.75  # of a word's uses in a period, at most this share may come from one work
POEM_SHARE = 0.95  # works with more verse than this are poems; plays have less
VERSE_SHARE = 0.05  # a period with less verse than this has no say of its own
RENAME_COUNT_MIN = 10
TODAY_WORDS = 100_000  # how many of today's words join the vocabulary


class Lean(NamedTuple):
    """One group of works against the rest, for each word; all of shape (V,)."""

    delta: Floats
    z: Floats
    uses: Floats  # in the group
    works: NDArray[np.int64]  # works of the group that use it
    top_share: Floats  # share of those uses in the work that uses it most
    top_work: NDArray[np.int64]
    spread: Bools  # several works and authors use it, and no single one too much


@dataclass(frozen=True)
class Evidence:
    """Counts of V lemmas in W works, and in today's English scaled to as many words.

    ``verse`` and ``prose`` are (V, W), ``today`` and ``capital_share`` (V,); ``base`` leads from a form to
    its lemma, and ``uses`` counts forms over all works.
    """

    works: tuple[Work, ...]
    lemmas: tuple[str, ...]
    verse: Floats
    prose: Floats
    today: Floats
    capital_share: Floats
    base: Mapping[str, str] = field(default_factory=dict)
    uses: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def counts(self) -> Floats:
        """Return uses in verse and prose together, (V, W)."""
        return np.asarray(self.verse + self.prose)

    @cached_property
    def index(self) -> dict[str, int]:
        """Return the row of each lemma."""
        return {lemma: row for row, lemma in enumerate(self.lemmas)}

    def of_era(self, era: str) -> Bools:
        """Return which works are of a period, (W,)."""
        return np.array([work.era == era for work in self.works], dtype=bool)

    def between(self, first: int, last: int) -> Bools:
        """Return which works were written in a span of years, both ends included, (W,)."""
        return np.array([first <= work.year <= last for work in self.works], dtype=bool)

    def rate(self, group: Bools) -> Floats:
        """Return uses per million words in a group of works, (V,)."""
        total = self.counts[:, group].sum()
        return np.asarray(self.counts[:, group].sum(axis=1) * 1e6 / max(total, 1))

    @cached_property
    def today_rate(self) -> Floats:
        """Return uses per million words of today's English, (V,)."""
        return np.asarray(self.today * 1e6 / max(self.today.sum(), 1))

    def lean(self, group: Bools, rest: Bools, with_today: bool = False) -> Lean:
        """Compare a group of works with others, and, where asked, with as many words of today's English."""
        inside = self.counts[:, group]
        a, b = inside.sum(axis=1), self.counts[:, rest].sum(axis=1)
        if with_today or not rest.any():
            b = b + self.today * ((b.sum() or a.sum()) / self.today.sum())
        delta, z = log_odds(a, b, informative_prior(a + b))
        works = (inside > 0).sum(axis=1)
        by_author = self._authors(group, self.counts)
        columns = np.flatnonzero(group)
        top = inside.argmax(axis=1) if len(columns) else np.zeros(len(a), dtype=np.int64)
        share = inside.max(axis=1, initial=0) / np.maximum(a, 1)
        need = min(WORKS_MIN, len(columns))
        spread = (works >= need) & ((by_author >= min(2, self._author_count(group))) | (works > WORKS_MIN))
        if len(columns) > 1:
            left = a - inside.max(axis=1)
            without = log_odds(left, b, informative_prior(left + b))
            spread &= (share <= TOP_SHARE_MAX) | ((without.z > LEFT_Z_MIN) & (without.delta > DELTA_MIN))
        return Lean(delta, z, a, works, share, columns[top] if len(columns) else top, spread)

    def _author_count(self, group: Bools) -> int:
        return len({work.author for work, member in zip(self.works, group, strict=True) if member})

    def _authors(self, group: Bools, counts: Floats) -> NDArray[np.int64]:
        names = sorted({w.author for w in self.works})
        used = np.zeros((len(self.lemmas), len(names)), dtype=bool)
        for column in np.flatnonzero(group):
            used[:, names.index(self.works[column].author)] |= counts[:, column] > 0
        return np.asarray(used.sum(axis=1))

    def against_today(self) -> LogOdds:
        """Compare today's English with all works pooled."""
        past = self.counts.sum(axis=1)
        return log_odds(self.today, past, informative_prior(self.today + past))

    def verse_lean(self, periods: Sequence[Bools]) -> LogOdds:
        """Compare verse with prose within each period, and pool; 0 where under 3 works or 2 authors decide.

        Every period with a real share of verse must agree, and two poets use the word in poems, so that a
        play's *sirrah* isn't taken for poetry.
        """
        found, agree = [], np.ones(len(self.lemmas), dtype=bool)
        members = np.zeros(len(self.works), dtype=bool)
        for group in periods:
            verse, prose = self.verse[:, group].sum(axis=1), self.prose[:, group].sum(axis=1)
            if min(verse.sum(), prose.sum()) > 0:
                found.append(log_odds(verse, prose, informative_prior(verse + prose)))
                members |= group
                if verse.sum() > VERSE_SHARE * (verse.sum() + prose.sum()):
                    agree &= found[-1].delta > VERSE_DELTA_MIN
        zero = np.zeros(len(self.lemmas))
        if not found:
            return LogOdds(zero, zero)
        pooled = combine(found)
        used = self.verse[:, members]
        top = used.max(axis=1, initial=0) / np.maximum(used.sum(axis=1), 1)
        agree &= ((used > 0).sum(axis=1) >= WORKS_MIN) & (self._authors(members, self.verse) >= 2)
        poems = self.verse.sum(axis=0) > POEM_SHARE * self.counts.sum(axis=0)
        agree &= self._authors(poems, self.verse) >= min(2, self._author_count(poems))
        agree &= top <= TOP_SHARE_MAX
        lean = agree | (pooled.delta < 0)
        return LogOdds(np.where(lean, pooled.delta, zero), np.where(lean, pooled.z, zero))


def gather(works: Iterable[Work], is_known: Callable[[str], bool]) -> Evidence:
    """Read and count works; the vocabulary is every lemma in them and today's commonest."""
    kept = tuple(works)
    return assemble(kept, [tally(read_work(work.path), is_known) for work in kept], is_known)


def assemble(works: tuple[Work, ...], tallies: Sequence[Tally], is_known: Callable[[str], bool]) -> Evidence:
    """Add forms up to lemmas; today's counts are scaled to as many words as all works have."""
    from wordfreq import top_n_list, word_frequency

    uses: Counter[str] = Counter()
    for t in tallies:
        uses.update(t.verse)
        uses.update(t.prose)
    forms = {f for f in {*uses, *top_n_list("en", TODAY_WORDS)} if f.isascii() and f.isalpha()}
    base = _bases(forms, uses, is_known)
    today: dict[str, float] = {}
    for form in sorted(forms):
        today[base[form]] = today.get(base[form], 0.0) + word_frequency(form, "en")
    lemmas = tuple(sorted(today))
    row = {lemma: n for n, lemma in enumerate(lemmas)}

    def column(counter: Mapping[str, int]) -> Floats:
        out = np.zeros(len(lemmas))
        for form, n in counter.items():
            out[row[base[form]]] += n
        return out

    verse = np.stack([column(t.verse) for t in tallies], axis=1)
    prose = np.stack([column(t.prose) for t in tallies], axis=1)
    total = verse.sum() + prose.sum()
    modern = np.array([today[base] for base in lemmas])
    scaled = modern * total / modern.sum()
    return Evidence(works, lemmas, verse, prose, scaled, _capital_share(tallies, column), base, uses)


def _bases(forms: set[str], uses: Counter[str], is_known: Callable[[str], bool]) -> dict[str, str]:
    """Map a form to its lemma, or, where the works hardly use that (*ala* for *alas*), to what they use."""
    base = {form: screen.head(form, is_known) for form in sorted(forms)}
    members: dict[str, list[str]] = {}
    for form, lemma in base.items():
        members.setdefault(lemma, []).append(form)
    for lemma, group in members.items():
        total = sum(uses[form] for form in group)
        top = max(group, key=lambda form: (uses[form], form))
        if total >= RENAME_COUNT_MIN and uses[lemma] < 0.05 * total and uses[top] > 0.9 * total:
            base |= dict.fromkeys(group, top)
    return base


def _capital_share(tallies: Sequence[Tally], column: Callable[[Mapping[str, int]], Floats]) -> Floats:
    """Return the share of uses inside a sentence with a capital; works that capitalise nouns have no say.

    Milton and Defoe print *the Squadron*, *the Band*: a work counts as such where, of the forms that
    other works print in lower case, it capitalises more than 1 in 25.
    """
    lower_all: Counter[str] = Counter()
    for t in tallies:
        lower_all.update(t.lower)
    capital, lower = np.zeros_like(column({})), np.zeros_like(column({}))
    for t in tallies:
        usual = [w for w in t.capital | t.lower if lower_all[w] - t.lower[w] > 20]
        raised, total = sum(t.capital[w] for w in usual), sum(t.capital[w] + t.lower[w] for w in usual)
        if raised * 25 <= total:
            capital += column(t.capital)
            lower += column(t.lower)
    return np.asarray(capital / np.maximum(capital + lower, 1))
