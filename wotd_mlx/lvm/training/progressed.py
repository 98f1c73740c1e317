"""How far a training has come: the lines of its history, and what going on needs beside its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

from msgspec import Meta

from wotd_mlx.config.ranges import Count, Natural, Weight
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.lvm.training.plateau import Plateau
from wotd_mlx.schemas import WotdError

LARGEST = 1e15
"""A figure beyond, which no training that learns has, is as good as none: sums and pictures stay finite."""
Real = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
FIGURES = ("loss", "cosine", "margin", "gradient_norm")
"""What is averaged over the steps of an epoch, in this order."""
_DIFFERENT = ("seconds", "peak_bytes")
"""Of an epoch: what differs from one machine, and one run, to the next."""


@dataclass(frozen=True)
class Epoch:
    """One line of ``training_history.json``; cosines and margins are means over all places of the windows."""

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
class Progressed:
    """How far a training has come; with the arrays of ``Loop.arrays`` it is all that going on needs."""

    epoch: Count = 1
    step: Natural = 0
    """Steps done in this epoch."""
    total: Natural = 0
    """Steps done in all."""
    sums: list[float] = field(default_factory=lambda: [0.0] * len(FIGURES))
    """Of :data:`FIGURES` over this epoch's steps."""
    seconds: Weight = 0.0
    """Spent in this epoch."""
    plateau: Plateau = field(default_factory=Plateau)
    history: list[Epoch] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.sums) != len(FIGURES):
            raise WotdError(f"sums are {len(self.sums)} numbers, expected {len(FIGURES)}")
        if self.epoch != len(in_order(self.history)) + 1:
            raise WotdError(f"epoch is {self.epoch} after {len(self.history)} in the history")


def in_order(history: Sequence[Epoch]) -> Sequence[Epoch]:
    """Return a history whose epochs are numbered from 1 on.

    Raises:
        WotdError: they aren't.
    """
    for number, line in enumerate(history, 1):
        if line.epoch != number:
            raise WotdError(f"epoch {line.epoch} stands in place {number}")
    return history


def digest_of_history(history: Sequence[Epoch]) -> str:
    """What tells a training's figures from another's; time and memory, which no two runs share, aside."""
    return digest_of([{k: v for k, v in asdict(line).items() if k not in _DIFFERENT} for line in history])
