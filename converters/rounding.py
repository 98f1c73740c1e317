"""Errors that rounding explains, and those that it doesn't.

Peak signal-to-noise ratio hides small numbers beside large ones: three of five may be wrong at 94 dB. So each place of
an output is measured by its own largest value. Where that is small because large numbers cancel, no float is exact; how
inexact shows when MLX itself computes the same from inputs and weights that are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from converters.capture import Example, as_numpy
from converters.graph import Array, Graph
from converters.interpret import interpret
from converters.probes import is_mask
from converters.report import FLOOR

UNITS = {"float32": 2.0**-23, "float16": 2.0**-10, "int8": 2.0**-6, "palette6": 2.0**-4, "palette4": 2.0**-2}
"""How far a number is moved, as a part of itself, by the precision; weights of 8 bits and palettes by more."""
LIMITS = {"float32": 1e-3, "float16": 0.05, "int8": 0.2, "palette6": 0.5, "palette4": 1.0}
"""The largest error of a place, as a part of its own largest value, that needs no explanation."""
DEEPER = 8.0
"""How many units inputs and weights are moved by: a deep function rounds on its way too."""
TIMES = 2.0
"""How often what that moves must fit into an error."""
TINY = {"float32": 2.0**-100, "float16": 2.0**-14}
"""What is no error: float16 holds smaller numbers in part, and MLX's own functions make 0 of some in float32."""
HUGE = 2.0**126
"""From here on a number counts as infinite: where exactly a function leaves float32 differs."""
_DRAWS = 6


@dataclass(frozen=True)
class Trial:
    """One input, what MLX makes of it and what the package does, by output."""

    inputs: Example
    want: Mapping[str, Array]
    got: Mapping[str, Array]


@dataclass(frozen=True)
class Unexplained:
    """The place of an output that is furthest off."""

    output: str
    place: tuple[int, ...]
    want: float
    got: float


def unexplained(
    trials: Sequence[Trial], precision: str, graph: Callable[[], Graph], slack: float = 1.0
) -> list[Unexplained]:
    """For each output the worst error that is above :data:`LIMITS` and that rounding doesn't explain.

    Args:
        graph: the captured function, asked for where something is to be explained.
        slack: how many times the limit needs no explanation.
    """
    found = []
    noises: dict[int, dict[str, Array]] = {}
    for name in trials[0].want:
        want = np.stack([t.want[name].astype(np.float64) for t in trials])
        got = np.stack([t.got[name].astype(np.float64).reshape(t.want[name].shape) for t in trials])
        error = _error(want, got)
        whole = trials[0].want[name].dtype.kind != "f"
        size = np.abs(np.where(np.isfinite(want), want, 0))
        tiny = max(TINY.get(precision, TINY["float16"]), FLOOR * float(size.max(initial=0)))
        suspect = (error > 0) if whole else (error > np.maximum(slack * LIMITS[precision] * size.max(0), tiny))
        for n in np.flatnonzero(suspect.reshape(len(trials), -1).any(1)).tolist():
            if n not in noises:
                noises[n] = noise(graph(), trials[n].inputs, precision)
        explained = np.zeros(want.shape[1:])
        for n in noises:
            explained = np.maximum(explained, TIMES * noises[n][name])
        left = np.where(suspect & ~(error <= explained), error, 0)
        if left.any():
            at = np.unravel_index(int(np.argmax(left)), left.shape)
            found.append(Unexplained(name, tuple(map(int, at[1:])), float(want[at]), float(got[at])))
    return found


def _error(want: Array, got: Array) -> Array:
    """|want − got|; infinite where one alone is finite, 0 where MLX has no number."""
    want, got = (np.where(np.abs(a) > HUGE, np.copysign(np.inf, a), a) for a in (want, got))
    with np.errstate(invalid="ignore"):
        error = np.where(want == got, 0, np.abs(want - got))
    return np.where(np.isnan(want), 0, np.where(np.isnan(error), np.inf, error))


def noise(graph: Graph, inputs: Example, precision: str, seed: int = 0) -> dict[str, Array]:
    """How far each number of each output moves when floats that go in, and weights, are rounded: the most of four
    draws, by MLX in float32."""
    rng, unit = np.random.default_rng(seed), DEEPER * UNITS[precision]
    wide = graph.widened() if graph.is_low else graph
    given = {name: as_numpy(array) for name, array in inputs.items()}
    given = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in given.items()}
    base = _outputs(wide, given)
    most = {name: np.zeros(array.shape) for name, array in base.items()}
    for _ in range(_DRAWS):
        moved = {name: _moved(array, unit, rng) for name, array in given.items()}
        constants = {name: _moved(a, unit, rng) for name, a in wide.constants.items() if a.size > 1}
        for name, array in _outputs(wide.with_nodes(wide.nodes, constants), moved).items():
            most[name] = np.maximum(most[name], _error(base[name], array))
    return most


def _outputs(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    values = interpret(graph, {name: mx.array(array) for name, array in inputs.items()})
    return {public: np.atleast_1d(np.array(values[name]).astype(np.float64)) for public, name in graph.outputs.items()}


def _moved(array: Array, unit: float, rng: np.random.Generator) -> Array:
    """The array with each number off by up to a part of itself; whole numbers and masks are what they are."""
    if array.dtype.kind != "f" or is_mask(array):
        return array
    return (array * (1 + unit * rng.uniform(-1, 1, array.shape))).astype(np.float32)
