"""The history of a language model's training: a record for each evaluation, which users find in ``history.json``."""

from __future__ import annotations

from dataclasses import dataclass, field

from wotd_mlx.config.ranges import Count, Natural, Weight
from wotd_mlx.training.state import Size, TrainState


@dataclass(frozen=True)
class EvalRecord:
    """One line of ``history.json``: the figures since the one before it.

    ``loss`` and ``gradient_norm`` are means over the steps, None before the first one; both losses weigh tokens as the
    recipe does. ``tokens_per_second`` counts the tokens of prompts and answers without padding.
    """

    step: Natural
    loss: float | None
    valid_loss: float
    learning_rate: Weight
    gradient_norm: float | None
    tokens_per_second: Weight
    seconds: Weight
    peak_bytes: Size
    best: bool


@dataclass
class LanguageState(TrainState):
    """How far a training has come; its plan follows the speed where the recipe gives minutes."""

    planned: Natural = 0
    """Steps in all."""
    every: Count = 1
    """Steps from one evaluation to the next."""
    history: list[EvalRecord] = field(default_factory=list)
