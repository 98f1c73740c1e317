"""What is asked of the language model and what it answers: one grammar, its parser and its printer.

``docs/reference/dsl.md`` is its reference. A request or an answer that exists can be printed, and ``parse`` of what is
printed gives it back; a request's ID or pattern stands last, so that what is before it can stay in a prompt cache.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral, Real
from typing import ClassVar, get_args

from wotd_mlx.config.language import MAX_WORDS
from wotd_mlx.io.records import shown
from wotd_mlx.language.pattern import Cursor, read_id, read_pattern
from wotd_mlx.language.pattern import Pattern as Pattern  # noqa: PLC0414  # part of this grammar: others import it from here
from wotd_mlx.schemas import Attribute, SemanticID, WotdError

SEPARATOR = ", "
DEFAULT_COUNT = 5
SHARE_DIGITS = 3

Values = tuple[tuple[str, str], ...]

# What the grammar itself uses, what would break a line or can't be UTF-8; < and > begin a chat template's own marks.
_NO_WORD = re.compile(r"[,\[\]{}<>\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NO_NAME = re.compile(_NO_WORD.pattern[:-1] + "=]")
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class ByPattern:
    """``n`` words whose ID fits a pattern."""

    kind: ClassVar[str] = "by_pattern"
    pattern: Pattern
    n: int = DEFAULT_COUNT

    def __post_init__(self) -> None:
        _check_count(self.n)

    def __str__(self) -> str:
        return f"Generate {_counted(self.n)} for {self.pattern}"


@dataclass(frozen=True)
class ByAttributes:
    """``n`` words with the values of attributes, pairs (name, value) in the order given."""

    kind: ClassVar[str] = "by_attributes"
    values: Values
    n: int = DEFAULT_COUNT

    def __post_init__(self) -> None:
        _check_count(self.n)
        _check_values(self.values)

    def __str__(self) -> str:
        return f"Generate {_counted(self.n)} with {_print_values(self.values)}"


@dataclass(frozen=True)
class Like:
    """``n`` words near to example words, and none of these."""

    kind: ClassVar[str] = "like"
    words: tuple[str, ...]
    n: int = DEFAULT_COUNT

    def __post_init__(self) -> None:
        _check_count(self.n)
        _check_words(self.words)

    def __str__(self) -> str:
        return f"Generate {_counted(self.n)} like {SEPARATOR.join(self.words)}"


@dataclass(frozen=True)
class Between:
    """``n`` words on the way from ID a to ID b, at ``share`` of it.

    ``share`` is rounded to three decimals: a prompt has no room for more, and no ID is that near to another.
    """

    kind: ClassVar[str] = "between"
    a: SemanticID
    b: SemanticID
    share: float = 0.5
    n: int = DEFAULT_COUNT

    def __post_init__(self) -> None:
        _check_count(self.n)
        if len(self.a) != len(self.b):
            raise WotdError(f"the IDs {self.a} and {self.b} differ in length; give two of one run")
        for number in (self.a, self.b):
            Pattern.of(number)
        if isinstance(self.share, bool) or not isinstance(self.share, Real) or not 0 <= self.share <= 1:
            raise WotdError(f"the share between two IDs is {shown(self.share)}; expected 0 to 1")
        object.__setattr__(self, "share", round(float(self.share), SHARE_DIGITS) + 0.0)

    def __str__(self) -> str:
        share = format(Decimal(str(self.share)).normalize(), "f").removeprefix("0") or "0"
        at = "" if self.share == 0.5 else f" at {share}"
        return f"Generate {_counted(self.n)}{at} between {self.a} and {self.b}"


@dataclass(frozen=True)
class Encode:
    """The ID of a word."""

    kind: ClassVar[str] = "encode"
    word: str

    def __post_init__(self) -> None:
        _check_words((self.word,))

    def __str__(self) -> str:
        return f"Encode {self.word}"


@dataclass(frozen=True)
class PatternOf:
    """The pattern of the IDs that read as values of attributes."""

    kind: ClassVar[str] = "pattern_of"
    values: Values

    def __post_init__(self) -> None:
        _check_values(self.values)

    def __str__(self) -> str:
        return f"Pattern for {_print_values(self.values)}"


@dataclass(frozen=True)
class Define:
    """What a word means."""

    kind: ClassVar[str] = "define"
    word: str

    def __post_init__(self) -> None:
        _check_words((self.word,))

    def __str__(self) -> str:
        return f"Define {self.word}"


@dataclass(frozen=True)
class Use:
    """A sentence with a word in it."""

    kind: ClassVar[str] = "use"
    word: str

    def __post_init__(self) -> None:
        _check_words((self.word,))

    def __str__(self) -> str:
        return f"Use {self.word}"


@dataclass(frozen=True)
class Words:
    """An answer of words, no two of them the same."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_words(self.words)

    def __str__(self) -> str:
        return SEPARATOR.join(self.words)


WordRequest = ByPattern | ByAttributes | Like | Between
"""The requests that ask for words."""
Request = WordRequest | Encode | PatternOf | Define | Use
Answer = Words | SemanticID | Pattern | str
WORD_KINDS: tuple[str, ...] = tuple(request.kind for request in get_args(WordRequest))
KINDS: tuple[str, ...] = (*WORD_KINDS, "encode", "pattern_of", "define", "use")


def can_write(word: str) -> bool:
    """Whether the DSL can hold a word: no comma, bracket ``[]{}<>`` or control character, no blank at its ends."""
    return _NO_WORD.search(word) is None and word == word.strip() != ""


def parse_request(
    text: str, levels: Sequence[int] | None = None, attributes: Sequence[Attribute] | None = None
) -> Request:
    """Read a request in its printed form, or one that users know: ``Words matching pattern […]:`` and
    ``<semantic>[…]</semantic> Generate:``, both for five words. Keywords may be in any case, blanks are free.

    Args:
        levels: codes of each coordinate; patterns and IDs are then checked against them.
        attributes: the attributes there are; names and values are then checked against them.

    Raises:
        WotdError: no such request; it names the column.
    """
    cursor = Cursor("request", text)
    if cursor.take(_keyword("generate")):
        return _read_generate(cursor, levels, attributes)
    if cursor.take(_keyword("words matching pattern")):
        pattern = read_pattern(cursor, levels)
        cursor.take(":")
        cursor.end()
        return ByPattern(pattern)
    if cursor.take(r"(?i)<semantic>"):
        pattern = read_pattern(cursor, levels)
        cursor.need(r"(?i)</semantic>", "'</semantic>'")
        cursor.take(r"(?i)generate(?!\w)")
        cursor.take(":")
        cursor.end()
        return ByPattern(pattern)
    if cursor.take(_keyword("pattern for")):
        return PatternOf(_read_values(cursor, attributes))
    one: dict[str, type[Encode | Define | Use]] = {"encode": Encode, "define": Define, "use": Use}
    for name, kind in one.items():
        if cursor.take(_keyword(name)):
            words = _read_words(cursor)
            if len(words) > 1:
                raise cursor.fault(text.index(","), f"{name.capitalize()} takes one word; got {len(words)}")
            return kind(words[0])
    raise cursor.unexpected("Generate, Encode, Pattern for, Define, Use, Words matching pattern or <semantic>")


def parse_answer(request: Request, text: str, levels: Sequence[int] | None = None) -> Answer:
    """Read the answer to a request: :class:`Words` as many as asked for, an ID, a :class:`Pattern` or a text.

    Raises:
        WotdError: the answer is none for this request; it names the column where there is one.
    """
    cursor = Cursor("answer", text)
    if isinstance(request, Encode):
        number = read_id(cursor, levels)
        cursor.end()
        return number
    if isinstance(request, PatternOf):
        pattern = read_pattern(cursor, levels)
        cursor.end()
        return pattern
    if isinstance(request, Define | Use):
        return print_answer(text.strip())
    words = _read_words(cursor)
    if len(words) != request.n:
        raise cursor.fault(len(text), f"{_counted(len(words))}, expected {request.n}")
    return Words(words)


def print_answer(answer: Answer) -> str:
    """An answer as it is trained on and shown.

    Raises:
        WotdError: a text that is empty, of several lines, or with blanks at its ends; an ID of no numbers, or with
            one below 0.
    """
    if isinstance(answer, str) and (answer != answer.strip() or not answer or _NO_TEXT.search(answer)):
        raise WotdError(f"the text {_short(answer)} is no answer; expected one line without blanks at its ends")
    if isinstance(answer, SemanticID):
        Pattern.of(answer)
    return str(answer)


def _read_generate(cursor: Cursor, levels: Sequence[int] | None, attributes: Sequence[Attribute] | None) -> Request:
    start = cursor.next()
    digits = cursor.need(r"[0-9]+", f"how many words, 1 to {MAX_WORDS}")
    if len(digits) > 9 or not 1 <= int(digits) <= MAX_WORDS:
        raise cursor.fault(start, f"got {digits[:12]} words, expected 1 to {MAX_WORDS}")
    n = int(digits)
    cursor.need(_keyword("words?"), "'words'")
    if cursor.take(_keyword("for")):
        pattern = read_pattern(cursor, levels)
        cursor.end()
        return ByPattern(pattern, n)
    if cursor.take(_keyword("with")):
        return ByAttributes(_read_values(cursor, attributes), n)
    if cursor.take(_keyword("like")):
        return Like(_read_words(cursor), n)
    share = 0.5
    if cursor.take(_keyword("at")):
        start = cursor.next()
        share = float(cursor.need(r"(?:[0-9]{1,9}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?![0-9.])", "a share such as .25"))
        if share > 1:
            raise cursor.fault(start, "the share is above 1, expected 0 to 1")
        cursor.need(_keyword("between"), "'between'")
    elif not cursor.take(_keyword("between")):
        raise cursor.unexpected("'for', 'with', 'like', 'between' or 'at'")
    a = read_id(cursor, levels)
    cursor.need(_keyword("and"), "'and'")
    start, b = cursor.next(), read_id(cursor, levels)
    if len(a) != len(b):
        raise cursor.fault(start, f"the ID {b} has {len(b)} numbers, the one before it {len(a)}")
    cursor.end()
    return Between(a, b, share, n)


def _keyword(text: str) -> re.Pattern[str]:
    """A keyword in any case, blanks of any length in it, before a blank, a bracket or the end."""
    return re.compile(text.replace(" ", r"\s+") + r"(?=[\s\[]|\Z)", re.IGNORECASE)


def _read_words(cursor: Cursor) -> tuple[str, ...]:
    found: dict[str, None] = {}
    while True:
        start, word = _read_word(cursor, _NO_WORD, "a word")
        if word in found:
            raise cursor.fault(start, f"{_short(word)} comes twice")
        found[word] = None
        if cursor.take(",") is None:
            return tuple(found)


def _read_values(cursor: Cursor, attributes: Sequence[Attribute] | None) -> Values:
    known = {a.name: a.values for a in attributes} if attributes is not None else None
    found: dict[str, str] = {}
    while True:
        start, name = _read_word(cursor, _NO_NAME, "an attribute such as style=romantic", "=")
        if known is not None and name not in known:
            told = ", ".join(known) or "none"
            raise cursor.fault(start, f"unknown attribute {_short(name)}; this run has {told}")
        if name in found:
            raise cursor.fault(start, f"attribute {_short(name)} comes twice")
        cursor.need("=", f"'=' and a value of {_short(name)}")
        start, value = _read_word(cursor, _NO_NAME, f"a value of {_short(name)}")
        if known is not None and value not in known[name]:
            told = ", ".join(known[name])
            raise cursor.fault(start, f"unknown value {_short(value)} of {name}; there are {told}")
        found[name] = value
        if cursor.take(",") is None:
            return tuple(found.items())


def _read_word(cursor: Cursor, refused: re.Pattern[str], expected: str, stop: str = "") -> tuple[int, str]:
    """Read up to a comma, the end or ``stop``; where the word began, and the word."""
    start = cursor.next()
    raw = re.compile(f"[^,{stop}]*").match(cursor.text, start)
    word = raw[0].strip() if raw else ""
    if not word:
        raise cursor.unexpected(expected)
    if bad := refused.search(word):
        raise cursor.fault(start + bad.start(), f"{bad[0]!r} can't stand in a word")
    cursor.at = start + len(word)
    return start, word


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= MAX_WORDS:
        raise WotdError(f"got {shown(n)} words, expected 1 to {MAX_WORDS}")


def _check_words(words: tuple[str, ...]) -> None:
    if not words:
        raise WotdError("no word; give one or more")
    for word in words:
        if not can_write(word):
            raise WotdError(
                f"the word {_short(word)} can't be written; expected no comma, bracket []{{}}<> or control "
                "character in it, and no blank at its ends"
            )
    if len(set(words)) < len(words):
        again = next(word for n, word in enumerate(words) if word in words[:n])
        raise WotdError(f"the word {_short(again)} comes twice; give different ones")


def _check_values(values: Values) -> None:
    _check_words(tuple(name for name, _ in values))
    for text in (text for pair in values for text in pair):
        if "=" in text or not can_write(text):
            raise WotdError(f"{_short(text)} can't be an attribute's name or value; expected a word without '='")


def _counted(n: int) -> str:
    return f"{n} word" if n == 1 else f"{n} words"


def _print_values(values: Values) -> str:
    return SEPARATOR.join(f"{name}={value}" for name, value in values)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
