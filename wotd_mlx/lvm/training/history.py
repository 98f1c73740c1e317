"""The history of a predictor's training: a record for each epoch, which users find in ``training_history.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from wotd_mlx.config.ranges import Count, Weight
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.state import Real, Size, TrainState

_DIFFERENT = ("seconds", "peak_bytes")
"""Of an epoch: what differs from one machine, and one run, to the next."""


@dataclass(frozen=True)
class Epoch:
    """One line of ``training_history.json``; cosines and margins are means over all positions of the windows."""

    epoch: Count
    train_loss: Real
    train_cosine: Real
    train_margin: Real
    valid_loss: Real
    valid_cosine: Real
    valid_margin: Real
    learning_rate: Real
    gradient_norm: Real
    seconds: Weight
    peak_bytes: Size
    best: bool


@dataclass
class PredictorState(TrainState):
    """How far a predictor's training has come."""

    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epoch != len(in_order(self.history)) + 1:
            raise WotdError(f"epoch is {self.epoch} after {len(self.history)} in the history")


def in_order(history: Sequence[Epoch]) -> Sequence[Epoch]:
    """Return a history whose epochs are numbered from 1 on.

    Raises:
        WotdError: they aren't.
    """
    for number, line in enumerate(history, 1):
        if line.epoch != number:
            raise WotdError(f"epoch {line.epoch} comes as number {number}")
    return history


def digest_of_history(history: Sequence[Epoch]) -> str:
    """What tells a training's figures from another's; time and memory, which no two runs share, aside."""
    return digest_of([{k: v for k, v in asdict(line).items() if k not in _DIFFERENT} for line in history])
