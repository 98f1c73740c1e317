"""When to slow down and when to stop: the learning rate falls on a plateau, and training ends on a long one."""

from __future__ import annotations

from dataclasses import dataclass

from wotd_mlx.config.lvm import Recipe
from wotd_mlx.config.ranges import Natural, Share


@dataclass
class Plateau:
    """The best validation loss so far, if any, and how many epochs have passed since.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau`` (mode ``min``, relative threshold 1e-4): the rate is multiplied
    by ``plateau_factor`` once more than ``plateau_patience`` epochs in a row bring nothing better.
    """

    best: float | None = None
    best_epoch: Natural = 0
    waited: Natural = 0
    bad: Natural = 0
    factor: Share = 1.0
    """What the recipe's learning rate is multiplied by."""

    def update(self, epoch: int, loss: float, recipe: Recipe) -> bool:
        """Note an epoch's validation loss; says whether it is the best."""
        if self.best is None or loss < self.best * (1 - 1e-4):
            self.best, self.best_epoch, self.waited, self.bad = loss, epoch, 0, 0
            return True
        self.waited += 1
        self.bad += 1
        if self.bad > recipe.plateau_patience:
            self.factor *= recipe.plateau_factor
            self.bad = 0
        return False

    def ended(self, recipe: Recipe) -> bool:
        """Whether the recipe's patience is at an end."""
        return self.waited >= recipe.patience
