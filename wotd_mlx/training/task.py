"""What differs from one training to another: data, loss, evaluation, the rate, the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic

import mlx.core as mx
from mlx import nn

from wotd_mlx.training.schedule import PlateauRule
from wotd_mlx.training.state import S

Parts = Iterable[tuple[Any, ...]]
"""A step's data: the arguments of the loss, one tuple for each micro-batch."""


class Task(ABC, Generic[S]):
    """A recipe for :class:`~wotd_mlx.training.trainer.Trainer`.

    Whatever it draws must depend on (seed, epoch) alone, so that a training that goes on draws what one that never
    stopped would have drawn.
    """

    model: nn.Module
    seed: int = 0
    figures: tuple[str, ...] = ("loss",)
    """Names of what :meth:`loss` returns first; their means are reported."""
    patience: int | None = None
    """Evaluations without a better one after which training ends; None for never."""
    plateau = PlateauRule()
    moving: nn.Module | None = None
    """A part of the model whose frozen parameters change too, in :meth:`stepped`; it is saved with the rest."""
    evaluates_epochs = True
    """Whether to evaluate at the end of each epoch."""
    keeps_best = False
    """Whether the trainer holds the weights of the best evaluation, to be put back at the end."""
    advice = "lower the learning rate"
    """What to do about a figure that is no number."""

    @abstractmethod
    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """The steps' data of an epoch, the first being 1, without the first ``start``."""

    @abstractmethod
    def loss(self, *args: Any) -> tuple[mx.array, ...]:
        """The number that is brought down, the other ``figures``, and what :meth:`stepped` is given; sums over the
        micro-batches of a step are the whole's."""

    @abstractmethod
    def rate(self, step: int, state: S) -> float:
        """The learning rate of a step, the first being 0."""

    @abstractmethod
    def ended(self, state: S) -> bool:
        """Whether all steps are taken."""

    def due(self, state: S) -> bool:
        """Whether to evaluate now, within an epoch."""
        return False

    def computing(self) -> AbstractContextManager[Any]:
        """Holds while gradients are computed."""
        return nullcontext()

    def stepped(self, *found: Any) -> None:
        """Called after each update with what :meth:`loss` returned behind its figures."""

    def evaluate(self) -> list[float]:
        """Figures of the weights in the model on validation data; the first decides which are the best."""
        return []

    def record(self, state: S, valid: list[float], rate: float, best: bool) -> Any:
        """What the history keeps of an evaluation: what it found, the last step's rate, and whether it is the best."""
