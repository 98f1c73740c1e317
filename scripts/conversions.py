"""What becomes of each model in each form of its weights: tried in processes of their own, kept a line each."""

from __future__ import annotations

import contextlib
import io
import json
import math
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from benchmarks.timing import RESULTS

TIMEOUT = 300
VERDICTS = {
    "gate": "below the gate of its precision",
    "lowering": "an operation without a lowering",
    "export": "MLX can't export it",
    "refused": "the converter refuses it",
    "slow": f"takes more than {TIMEOUT} s here",
    "uncomputed": "MLX itself doesn't compute it on a CPU",
    "unbuilt": "not built here",
}

EXACT = "exact"

Row = dict[str, Any]
"""``name`` and ``column``; ``db``, a number or :data:`EXACT`; or ``verdict`` and ``reason``."""
Made = tuple[Callable[..., Any], Mapping[str, mx.array]]
"""A function and its example."""


class Cell(NamedTuple):
    """A model in one form."""

    name: str
    column: str


@dataclass(frozen=True)
class Package:
    """What a column converts to."""

    precision: str
    suffix: str = ".mlpackage"


class UnbuiltError(Exception):
    """A model that can't be made on this machine."""


def attempt(cell: Cell, build: Callable[[Cell], Made], package: Package) -> Row:
    """Build, convert, and say how it went; what the model's own code prints is its reason where it gives no other."""
    from converters import coreml

    row: Row = cell._asdict()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            fn, example = build(cell)
        except (Exception, SystemExit) as error:
            return row | {"verdict": "unbuilt", "reason": said.getvalue().strip() or short(error)}
        try:
            report = coreml.convert(fn, example, Path(folder) / f"model{package.suffix}", package.precision)
            # JSON has no infinity.
            return row | {"db": round(report.psnr_db, 1) if math.isfinite(report.psnr_db) else EXACT}
        except coreml.UnsupportedOpsError as error:
            return row | {"verdict": "lowering", "reason": short(error)}
        except coreml.GateError as error:
            return row | {"verdict": "gate", "reason": short(error).split("source: ", 1)[-1]}
        except (coreml.ConversionError, coreml.PackageError, AssertionError, NotImplementedError) as error:
            kind = "export" if "can't export" in str(error) else "refused"
            return row | {"verdict": kind, "reason": short(error)}
        # What is left is MLX's own, or the model's.
        except Exception as error:
            return row | {"verdict": "uncomputed", "reason": short(error)}


def short(error: BaseException) -> str:
    """An error in a line of bounded length, without its advice."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if isinstance(error, ValueError | RuntimeError | UnbuiltError) else f"{type(error).__name__}: {text}"
    for advice in (". docs/reference/ops.md", "; shapes and", " Use a higher precision", ". A fault of"):
        text = text.split(advice)[0]
    return textwrap.shorten(text, 200, placeholder=" …")


def kept(file: str) -> dict[Cell, Row]:
    """What was found before, by cell."""
    return {Cell(row["name"], row["column"]): row for row in _lines(file)[1:]}


def tried_on(file: str) -> str:
    """The versions that the rows were found with."""
    (head, *_) = _lines(file)
    return str(head["versions"])


def _lines(file: str) -> list[Row]:
    path = RESULTS / file
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else ["{}"]
    return [json.loads(line) for line in lines]


def _keep(file: str, rows: Mapping[Cell, Row], versions: str) -> None:
    lines = [{"versions": versions}, *(rows[cell] for cell in sorted(rows))]
    (RESULTS / file).write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )


def try_all(module: str, cells: Sequence[Cell], file: str, versions: str, options: Sequence[str] = ()) -> None:
    """Try each cell by ``python -m module --worker``, and add its row to those kept as soon as it is known.

    A process that ends, or takes too long, costs one cell; the next process goes on behind it.
    """
    done = kept(file)
    for row in _tried(module, list(cells), options):
        done[Cell(row["name"], row["column"])] = row
        _keep(file, done, versions)
        print(f"{row['name']}, {row['column']}: {row.get('db') or row['verdict'] + ', ' + row['reason']}", flush=True)


def to_try(cells: Sequence[Cell], file: str) -> list[Cell]:
    """Those of which nothing is known, or only that they weren't built."""
    known = {cell for cell, row in kept(file).items() if row.get("verdict") != "unbuilt"}
    return [cell for cell in cells if cell not in known]


def _tried(module: str, cells: list[Cell], options: Sequence[str]) -> Iterator[Row]:
    while cells:
        command = [sys.executable, "-m", module, *options, "--worker", *(f"{c.column}:{c.name}" for c in cells)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout or ():
                yield json.loads(line)
                cells = cells[1:]
        if cells:
            slow = process.returncode == -signal.SIGALRM
            reason = f"took more than {TIMEOUT} s" if slow else f"ended the interpreter, code {process.returncode}"
            yield cells[0]._asdict() | {"verdict": "slow" if slow else "unbuilt", "reason": reason}
            cells = cells[1:]


def work(given: Iterable[str], build: Callable[[Cell], Made], packages: Mapping[str, Package]) -> None:
    """A worker's part: each ``column:name`` that it was given, a line of JSON as soon as it is done."""
    mx.set_default_device(mx.cpu)
    for text in given:
        column, name = text.split(":", 1)
        signal.alarm(TIMEOUT)
        print(json.dumps(attempt(Cell(name, column), build, packages[column])), flush=True)


def verdicts(rows: Mapping[Cell, Row], columns: Sequence[str]) -> str:
    """How many convert in each column, and how many of each verdict don't."""
    shown = [v for v in VERDICTS if any(row.get("verdict") == v for row in rows.values())]
    lines = [f"| | converts | {' | '.join(shown)} |", "| --- |" + " ---: |" * (len(shown) + 1)]
    for column in columns:
        these = [row for cell, row in rows.items() if cell.column == column]
        counts = [sum("db" in row for row in these), *(sum(row.get("verdict") == v for row in these) for v in shown)]
        lines.append(f"| {column} | {' | '.join(str(count or '') for count in counts)} |")
    return "\n".join(lines)


def cells_table(rows: Mapping[Cell, Row], columns: Sequence[str], first: str) -> str:
    """A line a model: decibels, or the verdict in a word."""
    lines = [f"| {first} | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name in dict.fromkeys(cell.name for cell in sorted(rows)):
        found = [rows.get(Cell(name, column), {}) for column in columns]
        lines.append(f"| {name} | {' | '.join(_entry(row) for row in found)} |")
    return "\n".join(lines)


def _entry(row: Row) -> str:
    if isinstance(db := row.get("db", row.get("verdict", "")), str):
        return db
    return f"{db:.0f}"


def reasons(rows: Mapping[Cell, Row], columns: Sequence[str], notes: Mapping[str, str], first: str) -> str:
    """A line a reason, with the models and columns that it holds for; a note is of a model, or of it in a column."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in sorted(rows, key=lambda cell: (cell.name, columns.index(cell.column))):
        if "verdict" in (row := rows[cell]):
            note = notes.get(f"{cell.name}, {cell.column}", notes.get(cell.name))
            reason = "; ".join(filter(None, (row["reason"].replace("|", "/").rstrip("."), note)))
            found.setdefault((cell.name, reason), []).append(cell.column)
    alike: dict[tuple[str, str], list[str]] = {}
    for (name, reason), where in found.items():
        alike.setdefault((reason, "all" if len(where) == len(columns) else ", ".join(where)), []).append(name)
    lines = [f"| {first} | where | reason |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {', '.join(names)} | {where} | {why} |" for (why, where), names in alike.items())])
