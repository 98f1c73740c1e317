"""How far a package is from its source, and which distance is too much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import GateError
from converters.graph import Array

GATES_DB = {"float32": 90.0, "float16": 50.0, "int8": 35.0, "palette6": 35.0, "palette4": 35.0}
"""PSNR below which an export is refused, by precision."""
FLOOR = 2.0**-22
"""What a place of an output is no smaller than, beside the largest number, when an error is measured by it."""
CODES_EQUAL = 0.995
"""Share of rows of an integer output that must be equal."""


@dataclass(frozen=True)
class Deviation:
    """One output, or one tensor inside, against MLX over all examples."""

    name: str
    max_abs_error: float
    psnr_db: float
    """20 log10(largest |value| of MLX / root mean square error); infinite where all numbers are equal."""
    equal: float
    """The share of rows (along the last axis) in which all numbers are equal."""
    is_float: bool
    scope: str = ""
    row_db: float = math.inf
    """The PSNR of the worst row, by its own largest value."""
    relative: float = 0.0
    """The largest error of a place, as a part of the largest value that MLX has there over all examples."""


class PerOutput(float):
    """The worst of all outputs as a number; one output's own by its name: ``report.psnr_db["vector"]``."""

    by_name: Mapping[str, float]

    def __new__(cls, by_name: Mapping[str, float], worst: float) -> PerOutput:
        made = super().__new__(cls, worst)
        made.by_name = dict(by_name)
        return made

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]

    def keys(self) -> Iterable[str]:
        """The outputs' names."""
        return self.by_name.keys()

    def values(self) -> Iterable[float]:
        """What each output has, in the order of :meth:`keys`."""
        return self.by_name.values()

    def items(self) -> Iterable[tuple[str, float]]:
        """(name, value) of every output."""
        return self.by_name.items()


@dataclass(frozen=True)
class Report:
    """What a verification found; ``layers`` holds every tensor inside where it was asked for, in order."""

    package: Path
    outputs: Mapping[str, Deviation]
    examples: int
    engine: str
    layers: Sequence[Deviation] = field(default=())
    unexplained: Sequence[str] = field(default=())
    """What rounding doesn't explain, on the example and on probes, a sentence each."""
    warnings: Sequence[str] = field(default=())
    """What to know of the example, and of numbers far above it."""

    @property
    def max_abs_error(self) -> PerOutput:
        """The largest |package − MLX|, worst of all outputs and by name."""
        found = {name: d.max_abs_error for name, d in self.outputs.items()}
        return PerOutput(found, max(found.values()))

    @property
    def psnr_db(self) -> PerOutput:
        """Decibels; the worst of the float outputs, or of all where there is none, and by name."""
        found = {name: d.psnr_db for name, d in self.outputs.items()}
        floats = [d.psnr_db for d in self.outputs.values() if d.is_float]
        return PerOutput(found, min(floats or found.values()))

    @property
    def codes_equal(self) -> float:
        """The share of equal rows, worst of the integer and boolean outputs; 1 where there is none."""
        return min((d.equal for d in self.outputs.values() if not d.is_float), default=1.0)

    @property
    def worst_layer(self) -> Deviation | None:
        """The float tensor inside with the lowest PSNR."""
        return min((d for d in self.layers if d.is_float), key=lambda d: d.psnr_db, default=None)

    def faults(self, precision: str) -> list[str]:
        """What lies below the gate of ``precision``, a sentence each."""
        gate = GATES_DB[precision]
        found = list(self.unexplained)
        found += [
            f"{d.name} has {d.psnr_db:.1f} dB; {precision} asks for {gate:.0f}"
            for d in self.outputs.values()
            if d.is_float and not d.psnr_db >= gate
        ]
        return found + [
            f"{d.name} is equal in {d.equal:.2%} of rows; expected more than {CODES_EQUAL:.1%}"
            for d in self.outputs.values()
            if not d.is_float and not d.equal > CODES_EQUAL
        ]

    def as_json(self) -> dict[str, Any]:
        """For a manifest: an infinite PSNR is null, since JSON has no infinity."""
        rows = {
            name: {
                "max_abs_error": d.max_abs_error,
                "psnr_db": round(d.psnr_db, 2) if math.isfinite(d.psnr_db) else None,
                "row_db": round(d.row_db, 2) if math.isfinite(d.row_db) else None,
                "relative": float(f"{d.relative:.3g}") if math.isfinite(d.relative) else None,
                "equal": d.equal,
            }
            for name, d in self.outputs.items()
        }
        return {"engine": self.engine, "examples": self.examples, "outputs": rows}


@dataclass
class Sum:
    """Errors of one tensor, added up over examples."""

    is_float: bool
    worst: float = 0.0
    squares: float = 0.0
    count: int = 0
    rows: int = 0
    equal: int = 0
    row_db: float = math.inf
    peaks: Array | float = 0.0
    errors: Array | float = 0.0
    """The largest value of MLX and the largest error in each place."""

    def add(self, want: Array, got: Array) -> None:
        want = np.atleast_1d(want.astype(np.float64))
        got = got.astype(np.float64).reshape(want.shape)
        # Infinities that agree are no error; those that don't are an infinite one.
        error = np.abs(np.subtract(want, got, where=want != got, out=np.zeros_like(want)))
        size = np.abs(want, where=np.isfinite(want), out=np.zeros_like(want))
        self.peaks, self.errors = np.maximum(self.peaks, size), np.maximum(self.errors, error)
        self.worst = float(np.maximum(self.worst, error.max(initial=0)))
        self.squares += float((error**2).sum())
        self.count += want.size
        same = (want == got).all(axis=-1)
        self.rows += same.size
        self.equal += int(same.sum())
        if want.size:
            noise = np.sqrt((error**2).mean(axis=-1))
            rows = zip(size.max(axis=-1).flat, noise.flat, strict=True)
            self.row_db = min([self.row_db, *(decibels(float(p), float(n)) for p, n in rows if n != 0)])

    def deviation(self, name: str, scope: str = "") -> Deviation:
        noise = math.sqrt(self.squares / max(self.count, 1)) if not math.isnan(self.squares) else math.nan
        worst = self.worst if not math.isnan(self.worst) else math.inf
        peak = float(np.asarray(self.peaks).max(initial=0))
        errors, sizes = np.asarray(self.errors), np.maximum(self.peaks, FLOOR * peak)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(errors == 0, 0, errors / sizes)
        relative = float(np.nan_to_num(parts, nan=np.inf).max(initial=0))
        db, share = decibels(peak, noise), self.equal / max(self.rows, 1)
        return Deviation(name, worst, db, share, self.is_float, scope, self.row_db, relative)


def decibels(peak: float, noise: float) -> float:
    """20 log10(peak / noise); where the peak is 0, noise is measured by 1."""
    if noise == 0:
        return math.inf
    return 20 * math.log10((peak or 1.0) / noise) if math.isfinite(noise) else -math.inf


def enforce(report: Report, precision: str) -> None:
    """Raise where a report lies below the gate of its precision, the worst layer named.

    Raises:
        GateError: what is below, by how much, and where it starts.
    """
    if not (faults := report.faults(precision)):
        return
    worst = report.worst_layer
    where = f" The worst tensor inside is {worst.name} ({worst.psnr_db:.1f} dB" if worst else ""
    where += f", in {worst.scope})." if worst and worst.scope else ")." if worst else ""
    raise GateError(
        f"the package is too far from its source: {'; '.join(faults)}.{where} Use a higher precision, or force it"
    )
