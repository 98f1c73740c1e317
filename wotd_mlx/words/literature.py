"""The ``literature`` provider: a folder of texts with a manifest becomes a corpus, a group a period."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from wotd_mlx.schemas import Corpus, Word, WotdError
from wotd_mlx.words import screen
from wotd_mlx.words.assign import Judge, as_word
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.evidence import WORKS_MIN, Evidence, gather
from wotd_mlx.words.families import family
from wotd_mlx.words.reading import read_manifest, read_work

__all__ = ["load_literature", "read_work"]

PER_PERIOD = 100


def load_literature(folder: str | Path, per_period: int = PER_PERIOD) -> Corpus:
    """Return the words that each period of a manifest over-uses, up to ``per_period`` each, with evidence.

    The label ``era`` is the manifest's own name for the period. Style goes by year and complexity by level,
    frequency and verse, as in the built-in table. A folder with one period is compared with today's English.

    Raises:
        WotdError: the manifest or a file can't be used, no word stands out, or a package of the extra `words` is
            missing.
    """
    screen.need_packages()
    folder = Path(folder)
    works = read_manifest(folder)
    evidence = gather(works, _shipped().__contains__)
    eras = tuple(dict.fromkeys(work.era for work in works))
    judge = Judge(evidence, eras)
    words = tuple(word for era in eras for word in _period(judge, era, per_period))
    if not words:
        raise WotdError(
            f"{folder}: no word stands out in any of its periods {list(eras)}; "
            "give longer works, or more of each period"
        )
    return Corpus(folder.resolve().name, words)


@cache
def _shipped() -> frozenset[str]:
    corpus = load_builtin()
    return frozenset(word.text for word in (*corpus.words, *corpus.lexicon))


def _eligible(evidence: Evidence) -> Iterable[str]:
    """Yield lemmas that are words: in the shipped tables, or in three works (all, where there are fewer)."""
    need = min(WORKS_MIN, len(evidence.works))
    for row, lemma in enumerate(evidence.lemmas):
        known = lemma in _shipped() or (evidence.counts[row] > 0).sum() >= need
        name = evidence.capital_share[row] > screen.NAME_SHARE
        if not known or name or not evidence.counts[row].any() or screen.zipf(lemma) > screen.ZIPF_MAX:
            continue
        if screen.is_word(lemma) and not screen.is_slur(lemma):
            yield lemma


def _period(judge: Judge, era: str, limit: int) -> list[Word]:
    found = []
    for lemma in _eligible(judge.evidence):
        judged = judge.judge(lemma)
        if judged.era is not None and judged.era.value == era and judged.era.works:
            found.append((-judged.era.delta, lemma, judged))
    found.sort(key=lambda item: item[:2])
    chosen: dict[str, Word] = {}
    for _, lemma, judged in found:
        if len(chosen) < limit and judged.era is not None:
            chosen.setdefault(family(lemma), as_word(lemma, judged, era, judged.era.source))
    return list(chosen.values())
