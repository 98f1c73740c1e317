"""Trainings that fit a limit of memory: how many rows at once, and whether activations are kept, by measuring."""

from __future__ import annotations

import ctypes
import logging

import mlx.core as mx
import numpy as np

from wotd_mlx.backend import GIB, on_cpu, resident_bytes
from wotd_mlx.language.training.batches import Rows
from wotd_mlx.language.training.task import LanguageTask
from wotd_mlx.schemas import TooLargeError
from wotd_mlx.training.memory import SHARE, Plan, peak_of, plan_within
from wotd_mlx.training.step import Step

log = logging.getLogger("wotd_mlx")

_SIXTEENTHS = (1, 2, 4, 8, 12)
"""Of the longest row, tried before it: memory grows a little faster than in a line."""
_LEAST_TOKENS = 64
"""Shorter rows are tried whole at once."""


def fit_into(task: LanguageTask, step: Step, limit: int) -> Plan:
    """See to it that a step on the longest rows stays under ``limit`` bytes; what the plan chose is said in one line
    where it isn't the whole batch at once.

    Raises:
        TooLargeError: not even one row fits.
    """
    outside, asked, longest = _outside(), task.micro, int(task.train.lengths.max())
    shortest = _LEAST_TOKENS + len(task.shared)
    plan = plan_within(
        int(SHARE * limit) - outside,
        asked,
        longest,
        lambda again, rows, length: peak_of_longest(task, step, again, rows, length),
        (True,) if task.checkpointing else (False, True),
        [length for n in _SIXTEENTHS if (length := longest * n // 16) >= shortest],
    )
    if not plan.rows:
        raise TooLargeError(
            f"a step on one row of {longest} tokens takes {(plan.peak + outside) / GIB:.2f} GB or more, the limit is "
            f"{limit / GIB:.2f} GB; lower the longest row, the rank or the layers, take a smaller model, or raise "
            "--memory-limit"
        )
    if plan.rows < asked or plan.recomputing != task.recipe.checkpointing:
        log.info(
            "memory: %d of %d rows at once%s, %.2f GB at the peak, for a limit of %.2f GB",
            plan.rows,
            task.recipe.batch,
            ", activations computed again" if plan.recomputing else "",
            (plan.peak + outside) / GIB,
            limit / GIB,
        )
    task.compute(plan.rows, plan.recomputing)
    step.trace()
    return plan


def peak_of_longest(task: LanguageTask, step: Step, again: bool, rows: int, length: int) -> int:
    """MLX's bytes at the peak of a step on so many of the longest rows at once, the model included.

    Args:
        again: whether activations are computed again.
        length: cut the rows to this many tokens.
    """
    task.compute(rows, again)
    step.trace()
    longest = np.argsort(-task.train.lengths, kind="stable")[:rows]
    some = _cut(task.train, longest, length, len(task.shared))
    return peak_of(step, task.parts(np.arange(len(longest)), some))


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
