"""Trainings that fit a limit of memory: how many rows at once, and whether activations are kept, by measuring."""

from __future__ import annotations

import ctypes
import logging

import mlx.core as mx
import numpy as np

from wotd_mlx.backend import GIB, on_cpu, resident_bytes
from wotd_mlx.language.training.batches import Rows
from wotd_mlx.language.training.loop import LanguageTrainer
from wotd_mlx.schemas import TooLargeError

log = logging.getLogger("wotd_mlx")

_SHARE = 0.9
"""Of the limit that a plan may use: measurements differ a little from step to step."""
_WORTHWHILE = 4
"""Rows at once below which it is better to compute activations again: small products leave cores idle."""
_LEAST_TOKENS = 64
"""Shorter rows are tried whole at once."""


def fit_into(trainer: LanguageTrainer, limit: int) -> int:
    """See to it that a step on the longest rows stays under ``limit`` bytes; the measured peak.

    Ever more of the longest rows are tried, as long as a line through the last two peaks says that the next stays under
    the limit, so that measuring keeps to it too. Where few or none fit, activations are computed again instead of kept.
    What the plan chose is said in one line where it isn't the whole batch at once.

    Raises:
        TooLargeError: not even one row fits.
    """
    asked, outside, expected = trainer.micro, _outside(), 0
    room = int(_SHARE * limit) - outside
    choices = [True] if trainer.checkpointing else [False, True]
    for again in choices:
        rows, peak = _most_rows(trainer, again, asked, room)
        if rows >= min(asked, _WORTHWHILE) or (rows and again):
            trainer.compute(rows, again)
            if rows < asked or again != choices[0]:
                log.info(
                    "memory: %d of %d rows at once%s, %.2f GB at the peak, for a limit of %.2f GB",
                    rows,
                    trainer.recipe.batch,
                    ", activations computed again" if again else "",
                    (peak + outside) / GIB,
                    limit / GIB,
                )
            return peak
        expected = peak
    raise TooLargeError(
        f"a step on one row of {int(trainer.train.lengths.max())} tokens takes {(expected + outside) / GIB:.2f} GB or "
        f"more, the limit is {limit / GIB:.2f} GB; lower the longest row, the rank or the layers, take a smaller "
        "model, or raise --memory-limit"
    )


def _most_rows(trainer: LanguageTrainer, again: bool, asked: int, room: int) -> tuple[int, int]:
    """How many rows at once stay under ``room`` bytes, and their peak; 0 and what one would take where none does."""
    whole = int(trainer.train.lengths.max())
    least = _LEAST_TOKENS + len(trainer.shared)
    sizes = [(1, whole >> k) for k in (4, 3, 2, 1) if whole >> k >= least]
    rows = 1
    while rows < asked:
        sizes.append((rows, whole))
        rows *= 2
    found, known = (0, 0), list[tuple[int, int]]()
    for rows, length in [*sizes, (asked, whole)]:
        size = rows * length
        if len(known) > 1:
            (first, low), (second, high) = known[-2:]
            peak = high + int((high - low) / (second - first) * (size - second))
        if len(known) < 2 or peak <= room:
            peak = peak_of_longest(trainer, again, rows, length)
        if peak > room:
            return found if found[0] else (0, peak)
        known.append((size, peak))
        found = (rows, peak) if length == whole else found
    return found


def peak_of_longest(trainer: LanguageTrainer, again: bool, rows: int, length: int | None = None) -> int:
    """MLX's bytes at the peak of a step on so many of the longest rows at once, the model included.

    Args:
        again: whether activations are computed again.
        length: cut the rows to this many tokens.
    """
    longest = np.argsort(-trainer.train.lengths, kind="stable")[:rows]
    trainer.compute(rows, again)
    mx.clear_cache()
    mx.reset_peak_memory()
    some = trainer.train if length is None else _cut(trainer.train, longest, length, len(trainer.shared))
    trainer.gradients(longest if length is None else np.arange(len(longest)), some)
    peak: int = mx.get_peak_memory()
    mx.clear_cache()
    gradients = sum(weight.nbytes for name, weight in trainer.arrays().items() if name.startswith("parameters."))
    held = sum(array.nbytes for array in trainer.arrays().values())
    # The next micro-batch is computed beside the gradients so far; the update has old and new of all that is held.
    return max(peak + gradients, mx.get_active_memory() + held + gradients)


def _cut(rows: Rows, chosen: np.ndarray, length: int, shared: int) -> Rows:
    """These rows without their middle, so that they begin alike and have an answer."""
    tokens, starts = [], []
    for n in chosen:
        gone = max(0, int(rows.lengths[n]) - length)
        tokens.append(np.delete(rows.tokens[n], slice(shared + 1, shared + 1 + gone)))
        starts.append(max(shared + 1, int(rows.starts[n]) - gone))
    return Rows(tuple(tokens), np.array(starts, dtype=np.int64))


def _outside() -> int:
    """What this process holds beside MLX's arrays, where both share one memory: the interpreter, its libraries."""
    if not on_cpu():
        return 0
    mx.clear_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)  # what is free already is there for a step to use
    return max(0, (resident_bytes() or 0) - mx.get_active_memory())
