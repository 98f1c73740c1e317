"""The built-in corpora and the lexicon: which of the labelled words stand for each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable
from dataclasses import replace
from typing import NamedTuple

from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.schemas import Corpus, Word, WotdError
from wotd_mlx.words import screen
from wotd_mlx.words.assign import TODAY, TODAY_TIMES, Finding, Judge, Judged, as_word
from wotd_mlx.words.families import family, stem
from wotd_mlx.words.screen import WordList

PER_CORPUS = 100
PER_SOURCE_MAX = 30  # of a corpus's words, at most this many have their most uses in the same work
ZIPF_MIN = 1.25  # rarer is a curiosity
RARE_ZIPF_MAX = 3.75
ALL_LABELS_BONUS = 0.75
COMPLEX_COUNT_MIN = 5
FORM_TIMES = 3.0  # a neutral form is used at most this many times more, or less, than today
LEXICON_SIZE = 31_500  # today's commonest words
EXPLAINED_ZIPF_MIN = 1.0  # a lemma that a dictionary explains enters down to this frequency: wordfreq's own floor
# Loved words that dictionaries explain, and that lists or frequencies would keep out; those of glosses.jsonl join them.
LOVED = (
    "absquatulate", "aposiopesis", "aurora", "bombinate", "cachinnate", "cantillation", "coruscate", "crapulence",
    "crepitate", "cromulent", "deipnosophist", "epiphany", "estivation", "fantods", "fulgurant", "galumph",
    "gegenschein", "gloam", "gloriole", "hebetude", "heliotropism", "hiemal", "hobbledehoy", "inosculation",
    "lipogram", "lucubrate", "lucubration", "mumpsimus", "omphaloskepsis", "paracosm", "parhelion", "peregrinate",
    "perfervid", "rodomontade", "stridulate", "susurration", "susurrus", "syllepsis", "taradiddle", "tarantism",
    "thalassic", "tintinnabulation", "ubiety", "umbrageous", "velleity", "wamble", "xanthous",
)  # fmt: skip
LITERARY = frozenset(("beautiful", "classical", "romantic", "shakespearean", "victorian"))
UNDATED = ("neutral", "simple", "plain", "beautiful", "complex")
CORPORA = tuple(value for attribute in DEFAULT_ATTRIBUTES for value in attribute.values)


class Candidate(NamedTuple):
    """A word that may stand in a corpus."""

    text: str
    judged: Judged
    uneven: float  # its largest lean to or from any period
    beyond: bool  # works of its style use it that aren't of its era, or there are none such


def candidates(judge: Judge, words: WordList) -> list[Candidate]:
    """Return the lemmas that may stand in a corpus: known, no name, no slur, worth meeting, labelled."""
    found = []
    for row, lemma in enumerate(judge.evidence.lemmas):
        if may_enter(judge, words, lemma) and ZIPF_MIN <= screen.zipf(lemma) <= screen.ZIPF_MAX:
            judged = judge.judge(lemma)
            if judged.labels and screen.cefr(lemma):
                found.append(Candidate(lemma, judged, judge.unevenness(row), judge.beyond(row, judged)))
    return found


def base_of(judge: Judge, words: WordList, text: str) -> str:
    """Return the lemma that a form was counted under, or would be."""
    return judge.evidence.base.get(text) or screen.head(text, words.is_known)


def may_enter(judge: Judge, words: WordList, text: str) -> bool:
    """Tell whether a text is a listed word and neither a name nor a slur."""
    if not (words.is_known(text) and screen.is_word(text)) or screen.is_slur(text):
        return False
    row = judge.evidence.index.get(base_of(judge, words, text))
    if text in words.doubtful and (row is None or not judge.past[row]):
        return False
    if text in words.rare and screen.zipf(text) >= RARE_ZIPF_MAX:
        return False  # *costa*: so common today, and yet no common word, it must be (part of) a name
    return row is None or bool(judge.evidence.capital_share[row] <= screen.NAME_SHARE)


def score(value: str, candidate: Candidate) -> float:
    """Return how well a word stands for one of its own labels; comparable within a label only.

    A period or style: its log-odds, less half of those of the word's other such label (a word goes where it
    is most at home), plus half of how far today has dropped it. ``modern`` is what the moderns began and
    today goes on with, so it counts today the other way. A style that only works of the word's era show is
    no home: *sirrah* is Shakespeare's, not Milton's. Words with all labels have a head start.
    """
    text, judged = candidate.text, candidate.judged
    bonus = ALL_LABELS_BONUS * (len(judged.labels) == len(DEFAULT_ATTRIBUTES))
    style, era = judged.style, judged.era
    mine, other = (style, era) if style is not None and style.value == value else (era, style)
    if value in UNDATED or mine is None:
        return bonus + _undated(value, candidate)
    today = -judged.today[0]
    if value == TODAY:
        return bonus + mine.delta + screen.zipf(text) / 10
    if value == "modern":
        return bonus + mine.delta - today if mine.works else 0.0
    if mine is style and not candidate.beyond:
        return 0.0
    rival = other.delta if other is not None and other.value != "neutral" and candidate.beyond else 0.0
    return bonus + mine.delta - rival / 2 + today / 2


def _undated(value: str, candidate: Candidate) -> float:
    """Return the score where no period decides.

    Neutral: evenness. Beautiful: the lean to verse. Simple: low level, frequent, short, not dropped by today.
    Complex: long, rare, and yet met in the works. Plain: of middling frequency, and evenly used.
    """
    text, judged, uneven = candidate.text, candidate.judged, candidate.uneven
    zipf, level = screen.zipf(text), screen.cefr(text)
    if value == "neutral":
        return -2 * uneven
    if value == "beautiful":
        return judged.verse[0]
    if value == "simple":
        return 0.5 * (level == "A1") + 0.5 * zipf - 0.2 * len(text) + min(0.0, judged.today[0])
    if value == "plain":
        return -abs(zipf - 4) - 0.5 * uneven - 2 * (level not in ("B1", "B2"))
    return 0.25 * min(len(text), 12) - abs(zipf - 2.25) + (judged.uses >= COMPLEX_COUNT_MIN)


def source_of(value: str, judged: Judged) -> str:
    """Return the work that shows a label best: the one with the most uses in the group, else wordfreq."""
    found: list[Finding] = [f for f in (judged.style, judged.era) if f is not None]
    for finding in sorted(found, key=lambda f: f.value != value):
        if finding.works:
            return finding.source
    return "wordfreq" if found else "cefrpy"


def draft(found: Iterable[Candidate]) -> tuple[Word, ...]:
    """Fill the corpora in turn, each taking its best word whose stem is still free.

    Raises:
        WotdError: a corpus can't be filled.
    """
    queues: dict[str, list[tuple[float, str, Judged]]] = {value: [] for value in CORPORA}
    for candidate in found:
        for value in candidate.judged.labels.values():
            queues[value].append((score(value, candidate), candidate.text, candidate.judged))
    for queue in queues.values():
        queue.sort(key=lambda item: (item[0], item[1]))  # the best is popped from the end
    taken: set[str] = set()
    chosen: dict[str, list[Word]] = {value: [] for value in CORPORA}
    sources: dict[str, Counter[str]] = {value: Counter() for value in CORPORA}
    for _ in range(PER_CORPUS):
        for value, queue in queues.items():
            while queue:
                effect, text, judged = queue.pop()
                source = source_of(value, judged)
                full = source != "wordfreq" and sources[value][source] >= PER_SOURCE_MAX
                if stem(text) in taken or (full and source != "cefrpy"):
                    continue
                taken.add(stem(text))
                sources[value][source] += 1
                word = as_word(text, judged, value, source)
                chosen[value].append(replace(word, evidence={**word.evidence, "score": round(effect, 3)}))
                break
            else:
                raise WotdError(f"only {len(chosen[value])} words for the corpus {value!r}; give more or longer works")
    return tuple(word for value in CORPORA for word in chosen[value])


def own_finding(judge: Judge, form: str, finding: Finding | None) -> Finding | None:
    """Return a lemma's finding where an inflected form bears it out itself: *mining* is no form of *mine*."""
    from wordfreq import word_frequency

    if finding is None:
        return None
    uses = judge.evidence.uses.get(form, 0)
    today = word_frequency(form, "en") * judge.past.sum()  # uses to expect, were the works of today
    if finding.works:
        return finding if uses > today else None
    if finding.value == "neutral":
        return finding if today / FORM_TIMES <= uses <= today * FORM_TIMES else None
    return finding if uses * TODAY_TIMES <= today else None


def lexicon(
    judge: Judge,
    words: WordList,
    builtin: Iterable[Word],
    explained: Container[str] = (),
    loved: Collection[str] = (),
    size: int = LEXICON_SIZE,
) -> tuple[Word, ...]:
    """Return today's commonest words, and of the rarer ones those that the works label, lemmas that are explained, and
    loved words; without the built-in ones.

    Args:
        explained: words that a dictionary has.
        loved: words that enter whatever lists and frequencies say.
    """
    from wordfreq import top_n_list

    mine = {word.text for word in builtin}
    entering = [text for text in top_n_list("en", 10**6) if text not in mine and may_enter(judge, words, text)]
    loved = [text for text in loved if text not in mine]
    commonest = set(sorted(entering, key=_by_frequency)[:size])
    kept = []
    for text in sorted({*entering, *loved}, key=_by_frequency):
        base = base_of(judge, words, text)
        judged = judge.judge(base, text)
        if base != text:
            judged = judged._replace(
                style=own_finding(judge, text, judged.style), era=own_finding(judge, text, judged.era)
            )
        labelled = judged.style is not None or judged.era is not None
        told = text in explained and screen.zipf(text) >= EXPLAINED_ZIPF_MIN
        if text in commonest or text in loved or (base == text and (labelled or told)):
            kept.append(as_word(text, judged))
    return tuple(kept)


def _by_frequency(text: str) -> tuple[float, str]:
    return -screen.zipf(text), text


def _counts(words: Iterable[Word]) -> Counter[str]:
    return Counter(value for word in words for value in word.labels.values())


def counts_table(corpus: Corpus) -> str:
    """Return how many words carry each label, built-in and lexicon, as a Markdown table."""
    ours, theirs = _counts(corpus.words), _counts(corpus.lexicon)
    lines = ["| attribute | value | built-in | lexicon |", "| --- | --- | ---: | ---: |"]
    lines += [f"| {a.name} | {v} | {ours[v]} | {theirs[v]} |" for a in DEFAULT_ATTRIBUTES for v in a.values]
    every = len(DEFAULT_ATTRIBUTES)
    full = [sum(len(w.labels) == every for w in table) for table in (corpus.words, corpus.lexicon)]
    worth = [sum(bool(w.worth) for w in table) for table in (corpus.words, corpus.lexicon)]
    lines += [
        f"| worth meeting | | {worth[0]} | {worth[1]} |",
        f"| all {every} | | {full[0]} | {full[1]} |",
        f"| words | | {len(corpus.words)} | {len(corpus.lexicon)} |",
    ]
    return "\n".join(lines)


def families_table(corpus: Corpus) -> str:
    """Return how many families the words have, beside how many stems, as a Markdown table."""
    ours, every = [w.text for w in corpus.words], [w.text for w in (*corpus.words, *corpus.lexicon)]
    lines = ["| | words | Porter2 stems | families |", "| --- | ---: | ---: | ---: |"]
    for name, texts in (("built-in", ours), ("built-in and lexicon", every)):
        stems, families = {stem(text) for text in texts}, {family(text) for text in texts}
        lines.append(f"| {name} | {len(texts)} | {len(stems)} | {len(families)} |")
    return "\n".join(lines)


def corpora_table(corpus: Corpus) -> str:
    """Return the first ten words of each corpus, as a Markdown table."""
    lines = ["| corpus | its ten best |", "| --- | --- |"]
    lines += [f"| {name} | {', '.join(w.text for w in words[:10])} |" for name, words in corpus.groups.items()]
    return "\n".join(lines)
