"""Labels for every lemma, from the evidence: style by year, era by period, complexity by level and verse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from wotd_mlx.schemas import Word
from wotd_mlx.words import labels as rules
from wotd_mlx.words import screen
from wotd_mlx.words.evidence import Bools, Evidence, Floats, Lean
from wotd_mlx.words.labels import STYLE_YEARS

ERAS = ("shakespearean", "victorian", "modernist")
TODAY = "contemporary"
TODAY_TIMES = 4.0  # contemporary: at least this many times as frequent today as in any period of the works
NEUTRAL_DELTA_MAX = float(np.log(1.6))
NEUTRAL_COUNT_MIN = 20
GENERAL = "wordfreq"  # the source of what no single work shows


class Finding(NamedTuple):
    """One label with what it rests on; ``works`` and ``top_share`` are 0 where today's English decides."""

    value: str
    delta: float
    z: float
    works: int = 0
    top_share: float = 0.0
    source: str = GENERAL


class Judged(NamedTuple):
    """All that is known of a lemma."""

    style: Finding | None
    era: Finding | None
    complexity: str | None
    uses: int
    today: tuple[float, float]  # delta and z of today's English over all works
    verse: tuple[float, float]  # delta and z of verse over prose

    @property
    def labels(self) -> dict[str, str]:
        """Return attribute → value for what has a label."""
        found = {
            "style": self.style and self.style.value,
            "complexity": self.complexity,
            "era": self.era and self.era.value,
        }
        return {name: value for name, value in found.items() if value}

    @property
    def evidence(self) -> dict[str, float | int]:
        """Return the figures behind the labels, rounded as the tables show them."""
        notes: dict[str, float | int] = {"count": self.uses}
        for name, finding in (("style", self.style), ("era", self.era)):
            if finding is not None:
                notes |= {f"{name}_delta": round(finding.delta, 2), f"{name}_z": round(finding.z, 2)}
            if finding is not None and finding.works:
                notes |= {f"{name}_works": finding.works, f"{name}_top_share": round(finding.top_share, 2)}
        if self.uses:
            notes |= {"today_delta": round(self.today[0], 2), "today_z": round(self.today[1], 2)}
            notes |= {
                "verse_ratio": round(float(np.exp(self.verse[0])), 2),
                "verse_z": round(self.verse[1], 2),
            }
        elif self.era is not None:
            notes |= {"today_delta": round(self.today[0], 2), "today_z": round(self.today[1], 2)}
        return notes


class Judge:
    """Judges lemmas one by one against comparisons that are made once for the whole vocabulary.

    Args:
        evidence: counts of all works.
        eras: the periods that give an era label; works of other periods stay out of that comparison.
        today: whether today's English takes part: as a period of its own, and as something to differ from.
    """

    def __init__(self, evidence: Evidence, eras: tuple[str, ...] = ERAS, today: bool = True) -> None:
        self.evidence = evidence
        self.with_today = today
        periods = {name: evidence.of_era(name) for name in sorted({work.era for work in evidence.works})}
        in_eras: Bools = np.any([periods[e] for e in eras], axis=0)
        self.eras = {e: evidence.lean(periods[e], in_eras & ~periods[e], today) for e in eras}
        spans = {name: evidence.between(*years) for name, years in STYLE_YEARS.items()}
        spans = {name: mask for name, mask in spans.items() if mask.any() and not mask.all()}
        self.spans = spans
        # What is modern may well be alive today; the older styles must differ from today as well.
        self.styles = {n: evidence.lean(mask, ~mask, today and n != "modern") for n, mask in spans.items()}
        self.rates = {name: evidence.rate(mask) for name, mask in (periods | spans).items()}
        self.highest_rate: Floats = np.max([self.rates[e] for e in periods], axis=0)
        self.today = evidence.against_today()
        self.verse = evidence.verse_lean(list(periods.values()))
        self.past: Floats = evidence.counts.sum(axis=1)

    def judge(self, lemma: str, text: str | None = None) -> Judged:
        """Return what is known of a lemma; complexity goes by ``text`` where an inflected form is meant."""
        row = self.evidence.index.get(lemma)
        level, zipf = screen.cefr(text or lemma), screen.zipf(text or lemma)
        if row is None:
            return Judged(None, None, rules.complexity(level, zipf), 0, (0.0, 0.0), (0.0, 0.0))
        verse = float(self.verse.delta[row]), float(self.verse.z[row])
        today = float(self.today.delta[row]), float(self.today.z[row])
        grade = rules.complexity(level, zipf, float(np.exp(verse[0])), verse[1])
        era = self._today(row, today) or self._lead(self.eras, row)
        style = self._lead(self.styles, row)
        if style is None and era is not None and era.value == TODAY and "modern" in self.styles:
            style = era._replace(value="modern")
        return Judged(style or self._neutral(row), era, grade, int(self.past[row]), today, verse)

    def _today(self, row: int, today: tuple[float, float]) -> Finding | None:
        """Return contemporary for a word that is common today and rare in every period of the works."""
        rare = self.highest_rate[row] * TODAY_TIMES <= self.evidence.today_rate[row]
        return Finding(TODAY, *today) if self.with_today and rare and rules.passes(*today) else None

    def _lead(self, leans: Mapping[str, Lean], row: int) -> Finding | None:
        """Return the group that over-uses a word most, where that is sure, spread, and not truer of today."""
        best: Finding | None = None
        for name, lean in leans.items():
            delta, z = float(lean.delta[row]), float(lean.z[row])
            truer_today = self.with_today and self.rates[name][row] <= self.evidence.today_rate[row]
            if not rules.passes(delta, z) or not lean.spread[row] or truer_today:
                continue
            if best is None or delta > best.delta:
                work = self.evidence.works[int(lean.top_work[row])]
                best = Finding(name, delta, z, int(lean.works[row]), float(lean.top_share[row]), work.name)
        return best

    def _neutral(self, row: int) -> Finding | None:
        """Return neutral for a word with enough uses that no style comes near to over-using."""
        if not self.styles or self.past[row] < NEUTRAL_COUNT_MIN:
            return None
        lean = max(self.styles.values(), key=lambda lean: float(lean.delta[row]))
        if lean.delta[row] > NEUTRAL_DELTA_MAX:
            return None
        return Finding("neutral", float(lean.delta[row]), float(lean.z[row]))

    def beyond(self, row: int, judged: Judged) -> bool:
        """Tell whether works of a word's style, but not of its era, use it; true where there are no such."""
        if judged.style is None or judged.era is None or judged.style.value not in self.spans:
            return True
        outside = self.spans[judged.style.value] & ~self.evidence.of_era(judged.era.value)
        return not outside.any() or bool(self.evidence.counts[row, outside].any())

    def unevenness(self, row: int) -> float:
        """Return the largest lean of a word, either way, over all styles, eras and today."""
        leans = [
            self.today.delta[row],
            *(lean.delta[row] for lean in (*self.styles.values(), *self.eras.values())),
        ]
        return float(np.abs(leans).max())


def as_word(text: str, judged: Judged, corpus: str = "", source: str = "") -> Word:
    """Return a judged word with its level, frequency and evidence."""
    return Word(text, judged.labels, corpus, source, screen.cefr(text), screen.zipf(text), judged.evidence)
