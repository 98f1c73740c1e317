"""Tables as text: CSV and TSV with a header, each row as wide as that."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wotd_mlx.io.files import read_text
from wotd_mlx.io.records import shown
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Table:
    """A header, and rows with the number of the line that each ends on; blank lines are left out."""

    path: Path
    columns: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]


def read_table(path: Path, separator: str, needed: Sequence[str], hint: str, quoted: bool = True) -> Table:
    """Read a table in UTF-8.

    Where the header isn't parted by ``separator`` but by another usual one, that one is taken, and the log says so.

    Args:
        needed: columns that must be there; the header is told from a row of words by the first of them.
        quoted: cells may stand in quotation marks; else these mean nothing, but in a table that isn't parted by
            ``separator``: such a one was written by a program that quotes.

    Raises:
        MissingError: there is no such file.
        WotdError: not UTF-8, no header, a column twice or missing, or, while rows are read, one that is wider or
            narrower than the header; it names file and line.
    """
    text = read_text(path, hint)
    first = text.lstrip("\r\n").partition("\n")[0]
    if separator not in first and (other := next((s for s in NAMES if s in first), None)):
        log.warning("%s: its columns are parted by %s, not by %s; read so", path, NAMES[other], NAMES[separator])
        separator, quoted = other, True
    cells = _cells(path, text, separator, quoted)
    _, header = next(cells, (0, []))
    columns = tuple(name.strip() for name in header)
    if missing := [name for name in needed if name not in columns]:
        raise WotdError(
            f"{path}: the first line is {shown(first.strip())}, without {', '.join(map(repr, missing))}; expected a "
            f"header such as {separator.join(needed)}{separator if len(needed) == 1 else ''}"
            f"{'…' if len(needed) == 1 else ''}; {hint}"
        )
    if not all(columns) or len(set(columns)) < len(columns):
        raise WotdError(f"{path}:1: the header is {shown(list(columns))}; expected different names, none empty")

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, row in cells:
            if len(row) != len(columns):
                told = "quote a cell with a separator in it" if quoted else "a row has as many as the header"
                raise WotdError(f"{path}:{number}: {len(row)} cells, the header has {len(columns)}; {told}")
            yield number, row

    return Table(path, columns, rows())


def _cells(path: Path, text: str, separator: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    if not quoted:
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            if line:
                yield number, line.split(separator)
        return
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield rows.line_num, row
    except csv.Error as error:
        raise WotdError(f"{path}:{rows.line_num}: not CSV ({error}); close its quotes") from error
