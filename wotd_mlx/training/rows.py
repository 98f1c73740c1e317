"""Trainings on the rows of arrays: batches in random order, a rate along a cosine, so many epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn

from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.state import S, TrainState
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task
from wotd_mlx.training.trainer import Trainer


class RowsConfig(Protocol):
    """Settings of such a training: AdamW's, and ``warmup``, the share of the steps in which the rate rises."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup(self) -> float: ...


def steps_in(cfg: RowsConfig, rows: int) -> int:
    """How many steps a training on so many rows takes at most; what is left over by whole batches is left out."""
    return cfg.epochs * (rows // min(cfg.batch, rows)) if rows else 0


class RowsTask(Task[S]):
    """Trains a model on the N rows of ``data``."""

    def __init__(self, model: nn.Module, data: tuple[mx.array, ...], cfg: RowsConfig, seed: int):
        self.model, self.data, self.cfg, self.seed = model, data, cfg, seed
        self.total = steps_in(cfg, len(data[0]))

    def step(self, clip: float = math.inf, compiled: bool = True) -> Step:
        """Steps by AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""
        optimizer = optim.AdamW(self.cfg.learning_rate, weight_decay=self.cfg.weight_decay)
        return Step(self, optimizer, clip=clip, compiled=compiled)

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """The data's arrays at the rows of a batch."""
        rows = len(self.data[0])
        order = mx.array(np.random.default_rng([self.seed, epoch]).permutation(rows))
        size = min(self.cfg.batch, rows)
        for n in range(start, rows // size):
            chosen = order[n * size : (n + 1) * size]
            yield [tuple(part[chosen] for part in self.data)]

    def rate(self, step: int, state: S) -> float:
        """Up over the warm-up, then along a cosine to nothing."""
        return self.cfg.learning_rate * warmup_cosine(step, self.total, self.cfg.warmup)

    def ended(self, state: S) -> bool:
        """Whether all epochs are over."""
        return state.epoch > self.cfg.epochs


class _Fit(RowsTask[TrainState]):
    evaluates_epochs = False

    def __init__(self, loss: Callable[..., mx.array], *given: Any):
        super().__init__(*given)
        self._loss = loss

    def loss(self, *rows: mx.array) -> tuple[mx.array, ...]:
        return (self._loss(*rows),)


def fit(
    model: nn.Module,
    loss: Callable[..., mx.array],
    data: tuple[mx.array, ...],
    cfg: RowsConfig,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n: None,
    *,
    compiled: bool = True,
) -> None:
    """Train a model in place by a loss of its rows (B, …) of ``data``, without validation."""
    task = _Fit(loss, model, data, cfg, seed)
    for _ in Trainer(task, task.step(compiled=compiled), TrainState()).evaluations(lambda n, note: progress(n)):
        pass
    model.eval()
