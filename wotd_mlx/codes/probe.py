"""A linear probe: how much of a label a vector tells without any codes."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.state import TrainState
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task
from wotd_mlx.training.trainer import Trainer

_RATE = 0.05


class ProbeTask(Task[TrainState]):
    r"""Multinomial logistic regression of labels (N,) on x (N, D), each row with its weight (N,), all rows a step.

    .. math:: \sum_n w_n\,\mathrm{CE}_n + \lVert W \rVert^2 / 2c

    with c = ``prior``: embeddings have more dimensions than rare values have words.
    """

    model: nn.Linear

    def __init__(self, x: Vectors, labels: Indices, weights: Vectors, values: int, steps: int, prior: float):
        self.model = nn.Linear(x.shape[1], values)
        self.model.weight, self.model.bias = mx.zeros((values, x.shape[1])), mx.zeros((values,))
        self.data = (mx.array(x), mx.array(labels), mx.array(weights))
        self.penalty, self.steps = x.shape[1] / (2 * prior * len(x)), steps

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """All rows, once."""
        yield [self.data]

    def loss(self, x: mx.array, labels: mx.array, weights: mx.array) -> tuple[mx.array]:
        """Over the number of rows."""
        crossed = nn.losses.cross_entropy(self.model(x), labels, weights=weights).mean()
        return (crossed + self.penalty * (self.model.weight**2).sum(),)

    def rate(self, step: int, state: TrainState) -> float:
        """Down along a cosine."""
        return _RATE * warmup_cosine(step, self.steps, 0.0)

    def ended(self, state: TrainState) -> bool:
        """Whether all steps are taken."""
        return state.step >= self.steps

    def due_after_epoch(self) -> bool:
        """There is nothing to choose between."""
        return False


def linear_probe(
    x: Vectors, labels: Indices, weights: Vectors, values: int, *, steps: int = 200, prior: float = 0.3
) -> nn.Linear:
    """The layer that :class:`ProbeTask` finds, for x as they come."""
    mean = x.mean(axis=0)
    # Gradient descent wants inputs of unit variance a dimension; the penalty is for those of unit length.
    spread = max(float(np.sqrt(((x - mean) ** 2).mean())), 1e-12)
    task = ProbeTask((x - mean) / spread, labels, weights, values, steps, prior)
    for _ in Trainer(task, Step(task, optim.Adam(_RATE), compiled=False), TrainState()).evaluations():
        pass
    model = task.model
    model.weight = model.weight / spread
    model.bias = model.bias - model.weight @ mx.array(mean)
    return model
