"""Rates are torch's, step by step and plateau by plateau."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from tests.tolerances import close
from wotd_mlx.training.schedule import Plateau, PlateauRule, warmup_cosine


@pytest.mark.parametrize(("total", "rising"), [(100, 10), (7, 3), (40, 2)])
def test_warm_up_and_cosine_are_those_of_torch(total: int, rising: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    up = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rising, 1.0, rising - 1)
    down = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - rising)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [up, down], [rising])
    want = []
    for _ in range(total):
        want.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    close(np.array([warmup_cosine(n, total, rising / total) for n in range(total)]), np.array(want), "sum_order")


def test_without_a_warm_up_the_first_step_has_the_whole_rate_and_past_the_end_there_is_none() -> None:
    assert [warmup_cosine(n, 4, 0.0) for n in (0, 2)] == pytest.approx([1.0, 0.5])
    assert warmup_cosine(4, 4, 0.0) == warmup_cosine(9, 4, 0.0) == 0.0
    assert warmup_cosine(0, 100, 0.001) == 1.0


@pytest.mark.parametrize(("factor", "patience"), [(0.5, 3), (0.3, 0), (0.7, 1)])
def test_plateaus_are_those_of_torch(factor: float, patience: int) -> None:
    rng = np.random.default_rng(patience)
    # Gains just below and above the threshold too.
    losses = np.cumprod(1 - rng.choice([0.0, 5e-5, 2e-4, 0.05, -0.1], 60)).tolist()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=factor, patience=patience, threshold=1e-4, eps=0.0
        )
    plateau, best, waited = Plateau(), np.inf, 0
    for loss in losses:
        schedule.step(loss)
        better = loss < best * (1 - 1e-4)
        best, waited = (loss, 0) if better else (best, waited + 1)
        assert plateau.update(loss, PlateauRule(1e-4, factor, patience)) == better
        assert plateau.factor == pytest.approx(optimizer.param_groups[0]["lr"])
        assert (plateau.best, plateau.waited) == (best, waited)
    assert plateau.factor < 0.5
