"""Which words may enter a table: known, not a name, not a slur; and their lemma, CEFR level and frequency."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wotd_mlx.schemas import WotdError

ZIPF_MAX = 4.5  # commoner is no word of the day
NAME_SHARE = 0.5  # capitalised in more than this share of uses inside a sentence: a name
SCOWL_SIZE_MAX = 70  # SCOWL's own advice for spell checking; larger lists hold oddities
SCOWL_COMMON_MAX = 50
_SCOWL_FILE = re.compile(r"(?:english|american|british)-(words|upper|proper-names)\.([0-9]{2})")
_WORD = re.compile(r"(?=[a-z]*[aeiouy])[a-z]{3,}")

# The extra `words`: frequencies, levels, lemmas, and what no table may hold.
_PACKAGES = ("wordfreq", "cefrpy", "lemminflect", "better_profanity")

# Period slurs, and words whose everyday sense insults a people, which modern profanity lists lack.
_SLURS = re.compile(
    r"blackamoor|coolie|cretin|cripple|darkie|darky|eskimo|gipsy|gipsies|gypsy|gypsies|half-?breed|halfcaste|harlot"
    r"|heathen|hottentot|hussies|imbecile|injun|jap|jewess|kaffir|lascar|lunatic|midget|mongol|mongoloid|mulatto|nazi"
    r"|negr[a-z]*|octoroon|papist|pickaninny|quadroon|redskin|savages|spastic|squaw|strumpet|trull|whore[a-z]*"
    r"|wench[a-z]*|bastard[a-z]*|cuckold[a-z]*|bawd[a-z]*|rap(?:e|es|ed|ist|ists|ing)|pa?edophil[a-z]*|porn[a-z]*"
    r"|gyp|gypped|tart|minx|slattern|sodom[a-z]*|catamite|eunuch|fornicat[a-z]*|molest[a-z]*|incest[a-z]*|retard[a-z]*"
    r"|ravish[a-z]*"
)


def need_packages() -> None:
    """See that what judges words is installed.

    Raises:
        WotdError: some isn't.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise WotdError(f"words from texts need {', '.join(missing)}; install with `pip install 'wotd-mlx[words]'`")


@cache
def _profanity() -> frozenset[str]:
    import better_profanity

    path = Path(better_profanity.__file__).parent / "profanity_wordlist.txt"
    return frozenset(line.strip().lower() for line in path.read_text(encoding="utf-8").splitlines())


@cache
def is_slur(word: str) -> bool:
    """Tell whether a word, or its lemma, is profane or a slur (better-profanity's list and period slurs)."""
    listed = _profanity()
    return any(w in listed or _SLURS.fullmatch(w) is not None for w in {word, lemma(word), *_singulars(word)})


def _singulars(word: str) -> list[str]:
    return [word[: -len(end)] for end in ("s", "es", "ed", "ing") if word.endswith(end)]


@cache
def zipf(word: str) -> float:
    """Return log10 of a word's uses per billion words of today's English (wordfreq); 0 where unknown."""
    from wordfreq import zipf_frequency

    return float(zipf_frequency(word, "en"))


@cache
def _analyzer() -> Any:
    from cefrpy import CEFRAnalyzer

    return CEFRAnalyzer()


@cache
def cefr(word: str) -> str | None:
    """Return the average CEFR level of a word over its parts of speech (cefrpy), A1 to C2, or None."""
    level = _analyzer().get_average_word_level_CEFR(word)
    return None if level is None else str(level)


@cache
def lemma(word: str) -> str:
    """Return the base form of a word: itself where that is a base form of any part of speech, or is unknown.

    Of several other base forms the one most used today wins.
    """
    from lemminflect import getAllLemmas

    found = sorted({base for bases in getAllLemmas(word).values() for base in bases})
    return word if word in found or not found else max(found, key=lambda base: (zipf(base), base))


@cache
def is_word(text: str) -> bool:
    """Tell whether a text looks like a word to learn: a-z only, 3 letters or more, a vowel, no numeral."""
    return _WORD.fullmatch(text) is not None and re.fullmatch(r"m{0,3}[ivxlc]+", text) is None


# Old verb forms that lemminflect doesn't know; the regular ones in -est and -eth follow a rule.
_OLD_FORMS = {
    "hath": "have", "hast": "have", "hadst": "have", "doth": "do", "dost": "do", "didst": "do", "art": "art",
    "wert": "be", "wast": "be", "wilt": "will", "shalt": "shall", "spake": "speak", "brake": "break",
    "bare": "bare", "sware": "swear", "gat": "get", "twas": "be", "tis": "be", "twill": "be",
    "twere": "be", "twould": "be", "methought": "methinks",
    "saith": "say", "begat": "beget", "holpen": "help", "bade": "bid", "slew": "slay", "wouldest": "would",
}  # fmt: skip
_COMMON_ZIPF = 4.5


@cache
def head(form: str, is_known: Callable[[str], bool]) -> str:
    """Return what a form is counted under: its lemma, in British spelling, old verb endings taken off.

    *couldst* counts as *could*, *goeth* as *go*, *neighborhood* as *neighbourhood*: an old ending or another
    country's spelling is no other word, and would pass for a period's.
    """
    base = _OLD_FORMS.get(form) or lemma(form)
    if base == form:
        stems = [w for w in _old_stems(form) if zipf(w) >= _COMMON_ZIPF]
        base = next((w for w in (*stems, *_rare_stems(form)) if is_known(w)), base)
    return next((w for w in _british(base) if is_known(w)), base)


def _old_stems(form: str) -> list[str]:
    if form.endswith("eth") and len(form) > 4:
        return [form[:-3], form[:-2], form[:-3] + "e"]
    if form.endswith("st") and len(form) > 5:
        return [form[:-2], form[:-3]] if form.endswith("est") else [form[:-2]]
    return [form[:-2]] if form in ("mayst", "canst") else []


def _rare_stems(form: str) -> list[str]:
    from lemminflect import getAllLemmas

    if getAllLemmas(form):
        return []
    if form.endswith("s") and not form.endswith(("ss", "us", "is")):
        return [form[:-1], form[:-2]] if form.endswith("es") else [form[:-1]]
    return [form[:-1], form[:-2]] if form.endswith("ed") else []


_OUR = re.compile(r"(.{3,})or(s|ed|ing|ful|less|able|ably|ite|hood|ly|er|y)?")
_SPELLINGS = (
    (re.compile(r"(.{4,})iz(e|er|ed|ing|ation)"), r"\1is\2"),
    (re.compile(r"(.{3,})yz(e|er|ed|ing)"), r"\1ys\2"),
    (_OUR, r"\1our\2"),
    (re.compile(r"(.{3,}[bt])er"), r"\1re"),
    (re.compile(r"(.{3,}[bt])ered"), r"\1red"),
    (re.compile(r"(.{3,}[aeiou])l(er|or|ing|ed)"), r"\1ll\2"),
    (re.compile(r"(.{4,})ense"), r"\1ence"),
    (re.compile(r"(.{4,})og"), r"\1ogue"),
    (re.compile(r"jewel(ry)"), r"jewelle\1"),
    (re.compile(r"gray(.*)"), r"grey\1"),
    (re.compile(r"(ar|pl|m)o(w|ld)(.*)"), r"\1ou\2\3"),
)


def _british(word: str) -> list[str]:
    return [pattern.sub(new, word) for pattern, new in _SPELLINGS if pattern.fullmatch(word)]


@dataclass(frozen=True)
class WordList:
    """Spelling lists: the lower-case words, and those that are better known as names."""

    words: frozenset[str]
    names: frozenset[str] = field(default_factory=frozenset)
    doubtful: frozenset[str] = field(default_factory=frozenset)  # as common as a name as in lower case
    rare: frozenset[str] = field(default_factory=frozenset)  # only in the larger lists

    @classmethod
    def read(cls, path: str | Path) -> WordList:
        """Read a SCOWL folder (files such as ``english-words.35``), or one plain list with a word a line.

        A word is a name where SCOWL lists it capitalised at a smaller size (as commoner) than in lower case.

        Raises:
            WotdError: neither of the two.
        """
        path = Path(path)
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").split()
            lower = frozenset(w for w in lines if w.isalpha() and w.islower())
            upper = {w.lower() for w in lines if w.isalpha() and w.istitle()}
            return cls(lower, frozenset(upper - lower))
        sizes: dict[bool, dict[str, int]] = {True: {}, False: {}}
        for file in sorted(path.glob("*")) if path.is_dir() else []:
            if (part := _SCOWL_FILE.fullmatch(file.name)) is None:
                continue
            size, table = int(part[2]), sizes[part[1] == "words"]
            for word in file.read_text(encoding="latin-1").split():
                if word.isalpha():
                    table[word.lower()] = min(size, table.get(word.lower(), size))
        lower_sizes, upper_sizes = sizes[True], sizes[False]
        if not lower_sizes:
            raise WotdError(f"{path} is no word list; give a file with a word a line, or a folder of SCOWL's lists")
        known = {w for w, size in lower_sizes.items() if size <= SCOWL_SIZE_MAX}
        names = {w for w, size in upper_sizes.items() if size < lower_sizes.get(w, 100)}
        doubtful = {w for w in known - names if upper_sizes.get(w) == lower_sizes[w]}
        rare = {w for w in known - names if lower_sizes[w] > SCOWL_COMMON_MAX}
        return cls(frozenset(known - names), frozenset(names), frozenset(doubtful), frozenset(rare))

    @cached_property
    def is_known(self) -> Callable[[str], bool]:
        """Return the test for membership among the lower-case words."""
        return self.words.__contains__
