"""Trainings that die before a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from wotd_mlx.training import checkpoint
from wotd_mlx.training.step import Step


class Killed(BaseException):
    """What nobody catches."""


@contextmanager
def killed_before(step: int, saving: bool = True, kind: Any = Step, model: Any = object) -> Iterator[None]:
    """Inside, a training dies before its step ``step``, the first being 0; checkpoints are written after each, or at
    evaluations alone.

    Args:
        kind: what takes the steps.
        model: the class of models whose trainings die.
    """
    take = kind.take

    def dying(self: Any, parts: Any, rate: float, number: int) -> list[float]:
        if number == step and (kind is not Step or isinstance(self.task.model, model)):
            raise Killed
        found: list[float] = take(self, parts, rate, number)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SAVE_SECONDS", 0.0 if saving else 1e9)
        patch.setattr(kind, "take", dying)
        with pytest.raises(Killed):
            yield
