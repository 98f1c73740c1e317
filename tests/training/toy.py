"""A task small enough to follow by hand: a linear map of rows, in micro-batches, with a frozen part that moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.training.schedule import PlateauRule, warmup_cosine
from wotd_mlx.training.state import TrainState
from wotd_mlx.training.task import Parts, Task

RATE, WARMUP, STEPS, AN_EPOCH = 0.1, 0.3, 12, 4
rng = np.random.default_rng(0)
X = rng.normal(size=(AN_EPOCH, 6, 5)).astype(np.float32)
"""Steps of an epoch, rows, inputs."""
Y = rng.normal(size=(AN_EPOCH, 6, 3)).astype(np.float32)


class Mean(nn.Module):
    """Frozen: a running mean of what the model answered."""

    def __init__(self) -> None:
        super().__init__()
        self.value = mx.zeros((3,))
        self.freeze()


class Model(nn.Module):
    """x (B, 5) -> (B, 3), dropout before."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        mx.random.seed(0)
        self.linear, self.drop, self.mean = nn.Linear(5, 3), nn.Dropout(dropout), Mean()
        mx.eval(self.parameters())

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear(self.drop(x)) - 0.1 * self.mean.value


@dataclass
class ToyState(TrainState):
    """Its history: step, training figures, validation loss, rate, whether it is the best."""

    history: list[list[float]] = field(default_factory=list)


class Toy(Task[ToyState]):
    """Three epochs of four steps in ``parts`` micro-batches; ``losses`` stand for what validation finds, if given."""

    figures = ("loss", "error")
    keeps_best = True

    def __init__(self, parts: int = 1, dropout: float = 0.0, losses: list[float] | None = None, **more: Any):
        self.model = Model(dropout)
        self.moving, self.parts, self.losses, self.draws = self.model.mean, parts, losses, list[float]()
        for name, value in more.items():
            setattr(self, name, value)

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        for n in np.random.default_rng([self.seed, epoch]).permutation(AN_EPOCH)[start:]:
            pairs = zip(np.split(X[n], self.parts), np.split(Y[n], self.parts), strict=True)
            yield [(mx.array(x), mx.array(y), mx.array(float(X[n].shape[0]))) for x, y in pairs]

    def loss(self, x: mx.array, y: mx.array, total: mx.array) -> tuple[mx.array, ...]:
        told = self.model(x)
        return ((told - y) ** 2).sum() / total, mx.abs(told - y).sum() / total, told

    def stepped(self, *found: Any) -> None:
        (told,) = found
        self.model.mean.value = 0.9 * self.model.mean.value + 0.1 * told.mean(axis=0)
        self.draws.append(float(mx.random.uniform()))

    def rate(self, step: int, state: ToyState) -> float:
        return RATE * state.plateau.factor * warmup_cosine(step, STEPS, WARMUP)

    def ended(self, state: ToyState) -> bool:
        return state.epoch > STEPS // AN_EPOCH

    def evaluate(self) -> list[float]:
        if self.losses is not None:
            return [self.losses.pop(0)]
        return [float(((self.model(mx.array(X[0])) - mx.array(Y[0])) ** 2).mean())]

    def record(self, state: ToyState, valid: list[float], rate: float, best: bool) -> list[float]:
        return [float(state.step), *state.means, *valid, rate, float(best)]


RULE = PlateauRule(threshold=1e-4, factor=0.3, patience=1)
