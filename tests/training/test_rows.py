"""Trainings on rows: AdamW with its decay against NumPy; the best weights survive a kill."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn

from tests.tolerances import close
from tests.training.interrupt import killed_before
from tests.training.test_trainer import file_in, trainer_of
from tests.training.toy import Toy, ToyState
from wotd_mlx.config.codes import ProbeConfig
from wotd_mlx.training.checkpoint import train
from wotd_mlx.training.rows import fit
from wotd_mlx.training.schedule import warmup_cosine


def test_a_fit_is_adamw_with_its_decay() -> None:
    """All rows a step; AdamW without bias correction, the rate along a cosine."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 1)).astype(np.float32)
    model = nn.Linear(3, 1, bias=False)
    w, m, v = np.array(model.weight, float), np.zeros((1, 3)), np.zeros((1, 3))
    fit(
        model,
        lambda x, y: ((model(x) - y) ** 2).mean(),
        (mx.array(x), mx.array(y)),
        ProbeConfig(epochs=4, learning_rate=0.1, weight_decay=0.5),
        compiled=False,
    )
    for step in range(4):
        rate = 0.1 * warmup_cosine(step, 4, 0.0)
        g = 2 * (x @ w.T - y).T @ x / 6
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w * (1 - rate * 0.5) - rate * m / (np.sqrt(v) + 1e-8)
    close(model.weight, w, "paper")


class Worsening(Toy):
    """Its first evaluation is the best."""

    def evaluate(self) -> list[float]:
        return [float(self.number)]

    def ended(self, state: ToyState) -> bool:
        self.number = state.epoch
        return super().ended(state)


def test_the_best_weights_survive_a_kill_after_them(tmp_path: Path) -> None:
    whole = trainer_of(Worsening())
    list(whole.evaluations())
    whole.restore_best()
    with killed_before(9):
        list(train(trainer_of(Worsening()), file_in(tmp_path)))
    again = trainer_of(Worsening())
    list(train(again, file_in(tmp_path)))
    again.restore_best()
    close(again.task.model.linear.weight, whole.task.model.linear.weight, "exact")
    close(again.task.model.mean.value, whole.task.model.mean.value, "exact")
