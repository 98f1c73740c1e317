"""Plain values out of JSON, YAML or a caller, as the dataclasses that they are meant to be."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec

from wotd_mlx.schemas import WotdError

T = TypeVar("T")

_SHOWN = 60
"""Letters of a wrong value that an error repeats."""


def checked(kind: type[T], raw: Any, where: str = "settings") -> T:
    """``raw`` as a ``kind``: a dataclass, or any type of keys, lists, texts and numbers, with ranges by ``Annotated``.

    >>> checked(dict[str, Annotated[int, msgspec.Meta(ge=1)]], {"epochs": 0}, "config.yaml")
    WotdError: config.yaml: epochs is 0, expected int, 1 or more

    Keys beside those of a dataclass are refused, unless it has ``further_keys: ClassVar = True``: then they are some
    other program's, and left out.

    Raises:
        WotdError: an unknown key, a value of another type or out of range, or one that the dataclass itself refuses;
            it names ``where`` and the key.
    """
    if told := _unknown(kind, raw, ""):
        raise WotdError(f"{where}: {told}")
    try:
        return msgspec.convert(raw, kind, strict=True)
    except RecursionError as error:
        raise WotdError(f"{where}: nested too deep") from error
    except ValueError as error:
        raise WotdError(f"{where}: {_first_fault(kind, raw, '') or line_of(error)}") from error


def shown(value: object) -> str:
    """A value as errors repeat it: on one line, and not all of a long one."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def line_of(error: BaseException) -> str:
    """What another library says of an error, on one line."""
    return " ".join(str(error).split())


def fault(kind: Any, value: Any) -> str:
    """What is wrong with a value that should be a ``kind``, such as ``is 0, expected int >= 1``; empty for nothing."""
    try:
        msgspec.convert(value, kind, strict=True)
    except ValueError:
        return _first_fault(kind, value, "").removeprefix("it ")
    return "is NaN, expected a number" if isinstance(value, float) and math.isnan(value) else ""


def _parts(kind: Any, raw: Any) -> list[tuple[str, Any, Any]]:
    """Name, type and value of each part of a value that has parts of declared types."""
    kind = _bare(kind, raw)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if _is_record(kind, raw):
        return [(f".{name}", part, raw[name]) for name, part in _types(kind).items() if name in raw]
    if origin in (dict, Mapping) and arguments and isinstance(raw, Mapping):
        return [(f".{key}", arguments[1], value) for key, value in raw.items()]
    if origin in (list, tuple) and arguments and isinstance(raw, Sequence) and not isinstance(raw, str):
        return [(f"[{i}]", arguments[0], value) for i, value in enumerate(raw)]
    return []


def _is_record(kind: Any, raw: Any) -> bool:
    return is_dataclass(kind) and isinstance(raw, Mapping)


@cache
def _types(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass, with their types."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind)}


def _bare(kind: Any, raw: Any) -> Any:
    """A type without its ranges; of several, the one that isn't None."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if isinstance(kind, types.UnionType) and raw is not None:
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return kind


def _unknown(kind: Any, raw: Any, at: str) -> str:
    if not _holds_records(kind):
        return ""
    bare = _bare(kind, raw)
    if _is_record(bare, raw):
        known = _types(bare)
        if not raw.keys() <= known.keys() and not getattr(bare, "further_keys", False):
            place = f"{at.removeprefix('.')} has " if at else ""
            unknown = sorted(str(key) for key in raw if key not in known)
            return f"{place}unknown keys {', '.join(map(shown, unknown))}; known are {', '.join(known)}"
        if not _nests_records(bare):
            return ""
    return next((told for name, part, value in _parts(kind, raw) if (told := _unknown(part, value, at + name))), "")


@cache
def _nests_records(kind: Any) -> bool:
    """Whether a record has others in it: most lines of most files are flat."""
    return any(map(_holds_records, _types(kind).values()))


@cache
def _holds_records(kind: Any) -> bool:
    """Whether looking into such a value is worth it: a long table of numbers has no keys to know."""
    return is_dataclass(_bare(kind, 0)) or any(map(_holds_records, typing.get_args(kind)))


def _first_fault(kind: Any, raw: Any, at: str) -> str:
    """The first value within ``raw`` that isn't what it should be, in words; msgspec names no keys of a mapping."""
    for name, part, value in _parts(kind, raw):
        if told := _first_fault(part, value, at + name):
            return told
    try:
        msgspec.convert(raw, kind, strict=True)
    except ValueError as error:
        if isinstance(error.__cause__, WotdError):
            return f"{at.removeprefix('.')}: {error.__cause__}" if at else str(error.__cause__)
        found = re.sub(r"`(.*?)`", r"\1", re.sub(r" - at `[^`]*`$", "", line_of(error)))
        if found.startswith("Invalid enum value"):
            found = f"Expected {' or '.join(map(repr, typing.get_args(_bare(kind, raw))))}"
        if found.startswith("Object missing"):
            return f"{at.removeprefix('.') or 'it'} lacks {found.rpartition(' ')[2]}"
        if not found.startswith("Expected "):  # the dataclass's own words
            return f"{at.removeprefix('.')}: {found}" if at else found
        expected = re.sub(r", got .*", "", found).removeprefix("Expected ")
        expected = re.sub(r"\bobject\b", "keys and values", re.sub(r"\barray\b", "a list", expected))
        return f"{at.removeprefix('.') or 'it'} is {shown(raw)}, expected {expected}"
    return ""
