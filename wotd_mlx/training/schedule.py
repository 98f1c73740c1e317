"""The learning rate over a training: warm-up and cosine by the step, plateaus by the evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from wotd_mlx.config.ranges import Natural, Share


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    r"""What share of the highest rate step ``step`` of ``total`` takes, the first being 0: up, then along a cosine.

    .. math:: \min\left(1, \tfrac{t+1}{w}\right), \qquad \tfrac12 \left(1 + \cos \pi \tfrac{t-w}{T-w}\right)

    Args:
        warmup: share of the steps in which the rate rises, w of T; with 0 the first step has the whole rate.
    """
    rising = max(1, round(warmup * total)) if warmup else 0
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total - rising))))


class PlateauRule(NamedTuple):
    """What counts as better, and how the rate falls where nothing does.

    Args:
        threshold: share by which a loss must be below the best to count.
        factor: what the rate is multiplied by once more than ``patience`` evaluations in a row bring nothing better.
    """

    threshold: float = 0.0
    factor: float = 1.0
    patience: int = 0


@dataclass
class Plateau:
    """The best validation loss so far, if any, and how many evaluations have passed since.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``, mode ``min``, relative threshold.
    """

    best: float | None = None
    waited: Natural = 0
    """Evaluations since the best."""
    bad: Natural = 0
    """Evaluations since the best, or since the rate fell."""
    factor: Share = 1.0
    """What the recipe's rate is multiplied by."""

    def update(self, loss: float, rule: PlateauRule) -> bool:
        """Note an evaluation's loss; says whether it is the best."""
        if self.best is None or loss < self.best * (1 - rule.threshold):
            self.best, self.waited, self.bad = loss, 0, 0
            return True
        self.waited += 1
        self.bad += 1
        if self.bad > rule.patience:
            self.factor *= rule.factor
            self.bad = 0
        return False
