"""A package's outputs beside MLX's: whole numbers equal, floats within rounding, NaN and infinities where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import numpy as np

from converters.graph import Graph
from converters.interpret import interpret
from converters.source import left
from tests.converters.fuzz.draft import Draft, replay
from tests.converters.fuzz.known import RANGE, ZEROS, Row, row_of
from tests.converters.fuzz.noise import LOW, UNIT, Trouble, spreads, unit_of
from tests.tolerances import TOL

RUNS = 16
"""How many times what rounding moves is allowed."""


@dataclass(frozen=True)
class Difference:
    """Where an output differs on inputs of a profile, and the row of the table that it is of, if any."""

    ops: frozenset[str]
    half: bool
    profile: str
    output: str
    want: np.ndarray
    got: np.ndarray
    at: np.ndarray
    row: Row | None = None

    @property
    def wide(self) -> bool:
        """Whether float16 may be too narrow."""
        return self.half and self.profile in ("large", "limits", "odd")

    @property
    def only_nan(self) -> bool:
        """Whether the package has NaN wherever it differs."""
        return self.got.dtype.kind == "f" and bool(np.isnan(self.got[self.at]).all())

    def __str__(self) -> str:
        rows = [
            f"[{', '.join(map(str, spot))}] MLX {self.want[tuple(spot)]!r}, package {self.got[tuple(spot)]!r}"
            for spot in np.argwhere(self.at)[:4]
        ]
        return f"{self.profile} inputs, {self.output}: {int(self.at.sum())} of {self.at.size} differ: {'; '.join(rows)}"


@dataclass(frozen=True)
class Comparison:
    """A draft, its graph as captured and after the passes, and what runs its package."""

    draft: Draft
    captured: Graph
    graph: Graph
    call: Callable[..., Any]

    def difference(self, profile: str, inputs: Mapping[str, mx.array], rng: np.random.Generator) -> Difference | None:
        """The first output that differs by more than rounding; what no row of the table tells goes first."""
        want, got = self.wanted(inputs), self.call(inputs)
        unit = unit_of(self.captured, self.draft.half)
        if all(near(array, got[name], 0, unit).all() for name, array in want.items()):
            return None
        found: list[Difference] = []
        for row, trouble in self._troubles(unit):
            before, found = found, self._apart(want, got, inputs, profile, trouble, rng)
            if not found:
                return replace(before[0], row=row) if before else None
        told = [replace(one, row=row_of(one)) for one in found]
        return next((one for one in told if one.row is None), told[0])

    def _troubles(self, unit: float) -> list[tuple[Row | None, Trouble]]:
        """What may be in the way, the rows of the table behind rounding."""
        rows: list[tuple[Row | None, Trouble]] = [(None, Trouble(unit)), (ZEROS, Trouble(unit, zeros=True))]
        return rows + [(RANGE, Trouble(unit, half=True, zeros=True))] * self.draft.half

    def _apart(
        self,
        want: Mapping[str, np.ndarray],
        got: Mapping[str, np.ndarray],
        inputs: Mapping[str, mx.array],
        profile: str,
        trouble: Trouble,
        rng: np.random.Generator,
    ) -> list[Difference]:
        """The outputs that differ by more than a trouble makes of MLX's own."""
        moves = spreads(self.graph.widened() if self.graph.is_low else self.graph, inputs, trouble, rng)
        found = []
        for name, array in want.items():
            at = ~near(array, got[name], RUNS * moves[name].size.reshape(array.shape), trouble.unit)
            if got[name].shape == array.shape:
                at &= moves[name].steady.reshape(array.shape)
            if at.any():
                found.append(Difference(self._ops(), self.draft.half, profile, name, array, got[name], at))
        return found

    def _ops(self) -> frozenset[str]:
        complexes = {t.dtype for t in self.captured.tensors.values()} & {"complex64"}
        return frozenset({node.op for node in (*self.captured.nodes, *self.graph.nodes)} | complexes)

    def wanted(self, inputs: Mapping[str, mx.array]) -> dict[str, np.ndarray]:
        """What MLX computes; where that is in 16 bits somewhere, what it computes in float32."""
        if not self.captured.is_low:
            return {name: left(array) for name, array in replay(self.draft, inputs).items()}
        given = {name: array.astype(mx.float32) if array.dtype in LOW else array for name, array in inputs.items()}
        values = interpret(self.captured.widened(), given)
        return {public: left(values[name]) for public, name in self.captured.outputs.items()}


def near(want: np.ndarray, got: np.ndarray, more: Any, unit: float) -> np.ndarray:
    """Where the numbers differ by no more than rounding, and by ``more`` than that; nowhere, if the shapes do."""
    if got.shape != want.shape:
        return np.zeros(want.shape, bool)
    if want.dtype.kind != "f":
        return np.asarray(want.astype(np.int64) == got.astype(np.int64))
    row = TOL["fuzz" if unit == UNIT else "fuzz_half"]
    with np.errstate(all="ignore"):
        close = np.abs(want - got) <= row.atol + row.rtol * np.abs(want) + more
    same = (want == got) | (np.isnan(want) & np.isnan(got))
    return np.asarray(same | (np.isfinite(want) & np.isfinite(got) & close))
