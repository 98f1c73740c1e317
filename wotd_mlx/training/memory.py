"""Steps that fit a limit of memory, by measuring: how much at once, and whether activations are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import mlx.core as mx

from wotd_mlx.io.safetensors import named
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts

SHARE = 0.9
"""Of a limit that a plan may use: measurements differ a little from step to step."""
_WORTHWHILE = 4
"""Rows at once below which it is better to compute activations again: small products leave cores idle."""


class Plan(NamedTuple):
    """How a step is computed: so many rows at once, activations computed again or kept, and its peak in bytes."""

    rows: int
    recomputing: bool
    peak: int


def plan_within(
    room: int,
    rows: int,
    length: int,
    peak: Callable[[bool, int, int], int],
    recomputing: Sequence[bool] = (False, True),
    shorter: Sequence[int] = (),
) -> Plan:
    """How a step on ``rows`` rows of ``length`` stays under ``room`` bytes; 0 rows and one row's peak where none does.

    Ever more rows are tried, as long as a line through the last two peaks says that the next stays under the room, so
    that measuring keeps to it too. Where few or none fit, activations are computed again instead of kept.

    Args:
        peak: bytes at the peak of a step on (whether activations are computed again, rows, length).
        recomputing: the ways that there are, the better first.
        shorter: lengths that are tried first, one row each.
    """
    for again in recomputing:
        most, needed = _most_rows(room, rows, length, partial(peak, again), shorter)
        if most >= min(rows, _WORTHWHILE):
            break
    return Plan(most, again, needed)


def _most_rows(
    room: int, asked: int, whole: int, peak: Callable[[int, int], int], shorter: Sequence[int]
) -> tuple[int, int]:
    """How many rows at once stay under ``room`` bytes, and their peak; 0 and what one would take where none does."""
    doubled = [1 << k for k in range(asked.bit_length()) if 1 << k < asked]
    found, known = (0, 0), list[tuple[int, int]]()
    for rows, length in [*((1, size) for size in shorter), *((n, whole) for n in [*doubled, asked])]:
        size, expected = rows * length, 0
        if len(known) > 1:
            (first, low), (second, high) = known[-2:]
            expected = high + int((high - low) / (second - first) * (size - second))
        if expected <= room:
            expected = peak(rows, length)
        if expected > room:
            return found if found[0] else (0, expected)
        known.append((size, expected))
        found = (rows, expected) if length == whole else found
    return found


def peak_of(step: Step, parts: Parts) -> int:
    """MLX's bytes at the peak of a step that computes these parts, the model included."""
    step.task.model.train()
    mx.clear_cache()
    mx.reset_peak_memory()
    step.gradients(parts)
    peak: int = mx.get_peak_memory()
    mx.clear_cache()
    gradients = bytes_of(step.parameters)
    # The next micro-batch is computed beside the gradients so far; the update has old and new of all that is held.
    return max(peak + gradients, mx.get_active_memory() + bytes_of(step.held()) + gradients)


def bytes_of(tree: object) -> int:
    """Of all arrays in a tree."""
    return sum(array.nbytes for array in named(tree).values())
