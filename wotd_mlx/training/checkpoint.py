"""A training's checkpoint: when it is written, and what is gone on from."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wotd_mlx.io.json import json_line, parse_json
from wotd_mlx.io.records import checked
from wotd_mlx.io.safetensors import check_arrays, read_arrays, write_arrays
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.trainer import Trainer

log = logging.getLogger("wotd_mlx")

SAVE_SECONDS = 60.0
"""What a killed training loses at most."""


class Checkpoint:
    """Arrays and counters of a training in one file, so that they can't be of two different moments.

    Args:
        path: the file.
        made_from: what else the training depends on, such as a digest of its settings; another's file is refused.
        hint: what to do about a file that can't be used.
    """

    def __init__(self, path: Path, made_from: Mapping[str, str], hint: str):
        self.path, self.made_from, self.hint = path, dict(made_from), hint
        self._saved = time.monotonic()

    def save(self, trainer: Trainer[Any]) -> None:
        """Write the file where the last time is long enough ago."""
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.write(trainer)

    def write(self, trainer: Trainer[Any]) -> None:
        """Write the file, whole or not at all."""
        state = json_line(asdict(trainer.state)).decode()
        write_arrays(self.path, trainer.arrays(), {**self.made_from, "state": state})
        self._saved = time.monotonic()

    def resume(self, trainer: Trainer[Any]) -> bool:
        """Bring a trainer to where the file is; False where there is none.

        Raises:
            WotdError: it is damaged, or another training's.
        """
        if not os.path.lexists(self.path):
            return False
        stored = read_arrays(self.path, self.hint, self.made_from)
        check_arrays(stored.arrays, trainer.arrays(), self.path, self.hint)
        where = f"{self.path}: state"
        try:
            state = checked(type(trainer.state), parse_json(stored.metadata.get("state", "").encode(), where), where)
            trainer.resume(stored.arrays, state)
        except WotdError as error:
            raise WotdError(f"{error}; {self.hint}") from error
        log.info("going on after step %d, from %s", state.step, self.path)
        return True

    def remove(self) -> None:
        """The training has ended."""
        self.path.unlink(missing_ok=True)


def train(
    trainer: Trainer[Any], checkpoint: Checkpoint | None, progress: Callable[[int], None] = lambda n: None
) -> Iterator[Any]:
    """Train to the end, from the checkpoint on where there is one; yields all of the history's records, and keeps the
    checkpoint up to date before each."""
    if checkpoint and checkpoint.resume(trainer):
        progress(trainer.state.step)
        yield from list(trainer.state.history)
    save = (lambda: checkpoint.save(trainer)) if checkpoint else (lambda: None)
    for record in trainer.evaluations(lambda n, note: progress(n), save):
        if checkpoint:
            checkpoint.write(trainer)
        yield record
