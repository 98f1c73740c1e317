"""JSON and JSON lines: strict, typed, and written so that two files compare by line."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from wotd_mlx.io.files import read_bytes, write_atomically
from wotd_mlx.io.records import checked, shown
from wotd_mlx.schemas import WotdError

T = TypeVar("T")


def parse_json(raw: bytes, where: str) -> Any:
    """The value that JSON in UTF-8 stands for.

    Raises:
        WotdError: not JSON, NaN or an infinity, a key twice in one object, half a surrogate pair, or nested too deep.
    """
    try:
        value = _DECODER.decode(raw.removeprefix(codecs.BOM_UTF8).decode())
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise WotdError(f"{where}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from error
    except UnicodeEncodeError as error:
        raise WotdError(f"{where}: half of a surrogate pair in a text; write whole characters") from error
    except RecursionError as error:
        raise WotdError(f"{where}: nested too deep to be one of this program's files") from error
    except ValueError as error:
        raise WotdError(f"{where}: not JSON ({error})") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {shown(next(k for k in keys if keys.count(k) > 1))} stands there twice")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError(f"{text} is too large a number")
    return value


# Made once: a file of lines has tens of thousands.
_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite)


def decode_json(raw: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
    """JSON of an installed package as a ``kind``, ten times as fast as :func:`parse_json`: parts that are declared as
    ``msgspec.Raw`` are decoded when asked for. Laxer too: of a key that stands there twice the last counts.

    Raises:
        WotdError: not JSON, or not of that kind.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WotdError(f"{where}: not the JSON expected ({error})") from error


def read_json(path: Path, kind: type[T], hint: str) -> T:
    """A JSON file as a ``kind``, as :func:`~wotd_mlx.io.records.checked` makes it.

    Args:
        hint: what to do where the file can't be read, such as ``train again into another folder``.

    Raises:
        MissingError: there is no such file.
        WotdError: damaged, or something else than a ``kind``; it names file and key.
    """
    raw = read_bytes(path, hint)
    try:
        return checked(kind, parse_json(raw, str(path)), str(path))
    except WotdError as error:
        raise WotdError(f"{error}; {hint}") from error


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON, an entry a line for a mapping, whole or not at all."""
    write_atomically(path, (_unfolded(content) + "\n").encode())


def _unfolded(content: Any, indent: str = "") -> str:
    """JSON with mappings unfolded, and lists of them; all else on one line."""
    inner = indent + "  "
    if isinstance(content, Mapping) and content:
        lines = (f"{inner}{_flat(k)}: {_unfolded(v, inner)}" for k, v in content.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        return "[\n" + ",\n".join(inner + _flat(v) for v in content) + f"\n{indent}]"
    return _flat(content)


def _flat(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def read_json_lines(path: Path, kind: type[T], hint: str) -> Iterator[tuple[str, T]]:
    """``file:line`` and value of each line of a JSONL file that isn't blank.

    Raises:
        MissingError: there is no such file.
        WotdError: a line that is damaged or no ``kind``; it names file, line and key.
    """
    for number, line in enumerate(read_bytes(path, hint).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, checked(kind, parse_json(line, where), where)


def json_line(row: Mapping[str, Any]) -> bytes:
    """One line of a JSONL file.

    Raises:
        ValueError, TypeError: NaN, an infinity, or something that JSON has no form for.
    """
    return _flat(row).encode() + b"\n"
