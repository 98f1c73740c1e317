"""Patterns of semantic IDs such as ``[2,1,0-3,*]``, and the cursor that reads any text of the DSL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.io.records import shown
from wotd_mlx.schemas import SemanticID, WotdError

# What a text may ask for where no levels are known: a hostile one must not build a set of a billion numbers.
MAX_FIELDS = 64
MAX_CODES = 4096
MAX_DIGITS = 9

_FIELD = "a number, *, a range such as 0-3 or a set such as {1,4}"
_BLANK = re.compile(r"\s*")
_NUMBER = re.compile(r"[0-9]+")
_TOKEN = re.compile(r"-?\w{1,20}|.", re.DOTALL)
_SHOWN = 60


class Cursor:
    """A text and how far it is read; every error names the column, counted from 1.

    Args:
        kind: what the text is, the first word of its errors: ``pattern``, ``request``, ``answer``.
    """

    def __init__(self, kind: str, text: str):
        self.kind, self.text, self.at = kind, text, 0

    def take(self, what: str | re.Pattern[str]) -> str | None:
        """Step over blanks and then ``what``, a regular expression; None, and no step, where it isn't there."""
        blank = _BLANK.match(self.text, self.at)
        start = blank.end() if blank else self.at
        found = re.compile(what).match(self.text, start)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def need(self, what: str | re.Pattern[str], expected: str) -> str:
        """:meth:`take`, or raise WotdError that says what was expected."""
        found = self.take(what)
        if found is None:
            raise self.unexpected(expected)
        return found

    def end(self, expected: str = "the end") -> None:
        """Raise WotdError where more than blanks is left."""
        self.need(r"\Z", expected)

    def next(self) -> int:
        """Where the next letter that isn't blank stands."""
        blank = _BLANK.match(self.text, self.at)
        return blank.end() if blank else self.at

    def unexpected(self, expected: str) -> WotdError:
        """The error for what stands next."""
        at = self.next()
        token = _TOKEN.match(self.text, at)
        return self.fault(at, f"got {token[0]!r}, expected {expected}" if token else f"ends, expected {expected}")

    def fault(self, at: int, reason: str) -> WotdError:
        """The error for column ``at``; of a long text the part around it is shown."""
        start = 0 if len(self.text) <= _SHOWN else max(0, at - _SHOWN // 2)
        shown = self.text[start : start + _SHOWN]
        shown = "…" * (start > 0) + shown + "…" * (start + _SHOWN < len(self.text))
        return WotdError(f"{self.kind} {shown!r}, column {at + 1}: {reason}")


@dataclass(frozen=True)
class Pattern:
    """What IDs may be: for each of Q coordinates a set of codes, or None for any code.

    Without levels to go by, a pattern has at most 64 fields, and a field at most 4,096 codes of 9 digits.

    Raises:
        WotdError: no field, an empty set, or more than that.
    """

    fields: tuple[frozenset[int] | None, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.fields) <= MAX_FIELDS:
            raise WotdError(f"a pattern has 1 to {MAX_FIELDS} fields; got {len(self.fields)}")
        for q, field in enumerate(self.fields, 1):
            if field is None:
                continue
            if not isinstance(field, frozenset) or not all(isinstance(code, Integral) for code in field):
                raise WotdError(f"field {q} of a pattern is {shown(field)}; expected a frozenset of codes, or None")
            if not 1 <= len(field) <= MAX_CODES:
                raise WotdError(f"field {q} of a pattern holds {len(field)} codes; expected 1 to {MAX_CODES}, or None")
            if min(field) < 0 or max(field) >= 10**MAX_DIGITS:
                raise WotdError(f"field {q} of a pattern holds a code below 0 or of more than {MAX_DIGITS} digits")

    @classmethod
    def parse(cls, text: str, levels: Sequence[int] | None = None) -> Pattern:
        """Read ``[2,1,0-3,{1,4}]``; the brackets may be round or left out, blanks may stand anywhere but in a number.

        Args:
            levels: codes of each coordinate, where known: count and codes are then checked against them.

        Raises:
            WotdError: not that form, or not of these levels; it names the column.
        """
        cursor = Cursor("pattern", text)
        bracket = cursor.take(r"[\[(]")
        pattern = read_fields(cursor, levels, {"[": "]", "(": ")"}.get(bracket or ""))
        cursor.end()
        return pattern

    @classmethod
    def of(cls, number: Sequence[int]) -> Pattern:
        """The pattern that one ID alone fits."""
        return cls(tuple(frozenset((int(n),)) for n in number))

    @property
    def number(self) -> SemanticID | None:
        """The one ID that fits; None where several do."""
        if any(field is None or len(field) > 1 for field in self.fields):
            return None
        return SemanticID(next(iter(field)) for field in self.fields if field)

    def __str__(self) -> str:
        return "[" + ",".join(map(_print_field, self.fields)) + "]"

    @classmethod
    def reading_as(
        cls, values: Mapping[str, str], readings: Sequence[tuple[str, Sequence[str]]], fields: int
    ) -> Pattern:
        """The codes that read as values of attributes, anything at the other fields.

        Args:
            values: attribute → value.
            readings: the first fields' attributes, each with the value that every code of its field reads as.
            fields: how many there are.
        """
        found: list[frozenset[int] | None] = [None] * fields
        for q, (name, codes) in enumerate(readings):
            if name in values:
                found[q] = frozenset(code for code, value in enumerate(codes) if value == values[name])
        return cls(tuple(found))

    def checked(self, levels: Sequence[int]) -> Pattern:
        """Return self, or raise WotdError where the count of fields or a code doesn't fit ``levels``."""
        if len(self.fields) != len(levels):
            raise WotdError(f"the pattern {self} has {len(self.fields)} fields; this run's IDs have {len(levels)}")
        for q, (field, k) in enumerate(zip(self.fields, levels, strict=True), 1):
            if field is not None and max(field) >= k:
                raise WotdError(f"the pattern {self}: field {q} holds {max(field)}; this run allows 0 to {k - 1} there")
        return self

    def fits(self, number: Sequence[int]) -> bool:
        """Whether an ID of as many numbers as there are fields fits.

        Raises:
            WotdError: another count of numbers.
        """
        self._counted(len(number))
        return all(field is None or n in field for field, n in zip(self.fields, number, strict=True))

    def matches(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """:meth:`fits` for many IDs at once: ids (N, Q) -> (N,)."""
        self._counted(ids.shape[1])
        out = np.ones(len(ids), bool)
        for q, field in enumerate(self.fields):
            if field is not None:
                column = ids[:, q]
                out &= column == next(iter(field)) if len(field) == 1 else np.isin(column, sorted(field))
        return out

    def _counted(self, numbers: int) -> None:
        if numbers != len(self.fields):
            raise WotdError(f"the pattern {self} has {len(self.fields)} fields, the ID {numbers} numbers")


def read_fields(cursor: Cursor, levels: Sequence[int] | None, close: str | None) -> Pattern:
    """Read a pattern's fields up to its bracket ``close`` and over it, or up to the end of the text."""
    start = cursor.next()
    fields: list[frozenset[int] | None] = []
    while True:
        k = levels[len(fields)] if levels is not None and len(fields) < len(levels) else None
        fields.append(_read_field(cursor, k))
        if len(fields) > MAX_FIELDS:
            raise cursor.fault(cursor.at - 1, f"a pattern has at most {MAX_FIELDS} fields")
        if cursor.take(",") is None:
            break
    if close is None:
        cursor.end("',' or the end")
    else:
        cursor.need(re.escape(close), f"',' or {close!r}")
    if levels is not None and len(fields) != len(levels):
        raise cursor.fault(start, f"{len(fields)} fields; this run's IDs have {len(levels)}")
    return Pattern(tuple(fields))


def read_pattern(cursor: Cursor, levels: Sequence[int] | None) -> Pattern:
    """Read a pattern in its brackets, as it stands in a request."""
    cursor.need(r"\[", "a pattern such as [2,1,3,*]")
    return read_fields(cursor, levels, "]")


def read_id(cursor: Cursor, levels: Sequence[int] | None) -> SemanticID:
    """Read an ID in its brackets: a pattern of numbers alone."""
    start = cursor.next()
    cursor.need(r"\[", "an ID such as [2,1,3,0]")
    number = read_fields(cursor, levels, "]").number
    if number is None:
        raise cursor.fault(start, "a pattern, expected one ID, numbers alone such as [2,1,3,0]")
    return number


def _read_field(cursor: Cursor, k: int | None) -> frozenset[int] | None:
    if cursor.take(r"\*"):
        return None
    start = cursor.next()
    if cursor.take(r"\{") is None:
        first, last = _read_range(cursor, k, _FIELD)
        return frozenset(range(first, last + 1))
    if cursor.take(r"\}"):
        raise cursor.fault(start, "an empty set, which no ID fits; write its codes, or * for any code")
    spans = [_read_range(cursor, k, "a number or a range such as 0-3")]
    while cursor.take(","):
        spans.append(_read_range(cursor, k, "a number or a range such as 0-3"))
    cursor.need(r"\}", "',' or '}'")
    codes: set[int] = set()
    reached = -1
    # In order, and only what is new: however often a text repeats a range, its codes are made once.
    for first, last in sorted(spans):
        codes.update(range(max(first, reached + 1), last + 1))
        reached = max(reached, last)
        if len(codes) > MAX_CODES:
            raise cursor.fault(start, f"a set of more than {MAX_CODES} codes; write * for any code")
    return frozenset(codes)


def _read_range(cursor: Cursor, k: int | None, expected: str) -> tuple[int, int]:
    start = cursor.next()
    first = last = _read_code(cursor, k, expected)
    if cursor.take("-"):
        last = _read_code(cursor, k, "the range's last number")
    if last < first:
        raise cursor.fault(start, f"the range {first}-{last} runs backwards; write {last}-{first}")
    if last - first >= MAX_CODES:
        raise cursor.fault(start, f"the range {first}-{last} holds more than {MAX_CODES} codes; write * for any code")
    return first, last


def _read_code(cursor: Cursor, k: int | None, expected: str) -> int:
    start = cursor.next()
    digits = cursor.need(_NUMBER, expected)
    if len(digits) > MAX_DIGITS:
        raise cursor.fault(start, f"a number of {len(digits)} digits; a code has at most {MAX_DIGITS}")
    code = int(digits)
    if k is not None and code >= k:
        raise cursor.fault(start, f"got {code}; this run allows 0 to {k - 1} there")
    return code


def _print_field(field: frozenset[int] | None) -> str:
    if field is None:
        return "*"
    runs: list[list[int]] = []
    for code in sorted(field):
        if runs and code == runs[-1][-1] + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
    return parts[0] if len(parts) == 1 else "{" + ",".join(parts) + "}"
