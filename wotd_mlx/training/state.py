"""How far a training has come: all that going on needs beside its arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from wotd_mlx.config.ranges import Count, Natural, Weight
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.schedule import Plateau

LARGEST = 1e15
"""A figure beyond, which no training that learns has, is as good as none: sums and pictures stay finite."""
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Real = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]


S = TypeVar("S", bound="TrainState")


@dataclass
class TrainState:
    """Counters of a training; each kind of training declares the type of its history's records."""

    step: Natural = 0
    """Steps taken in all."""
    epoch: Count = 1
    batch: Natural = 0
    """Steps taken in this epoch."""
    counted: Natural = 0
    """Steps taken since the last evaluation, and of these:"""
    sums: list[float] = field(default_factory=list)
    """their figures, added up;"""
    busy: Weight = 0.0
    """their seconds."""
    seconds: Weight = 0.0
    """Spent in all, evaluations included."""
    closed: Weight = 0.0
    """The same at the last evaluation."""
    plateau: Plateau = field(default_factory=Plateau)
    history: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if bool(self.sums) != bool(self.counted):
            raise WotdError(f"sums are {len(self.sums)} numbers over {self.counted} steps")

    def add(self, figures: list[float], seconds: float) -> None:
        """Count a step."""
        self.sums = [a + b for a, b in zip(self.sums or [0.0] * len(figures), figures, strict=True)]
        self.step, self.batch, self.counted = self.step + 1, self.batch + 1, self.counted + 1
        self.busy += seconds

    @property
    def means(self) -> list[float]:
        """Of the figures, over the steps since the last evaluation; empty before the first step."""
        return [total / self.counted for total in self.sums]

    def close(self, record: Any) -> None:
        """Keep an evaluation's record, and begin to count anew."""
        self.history.append(record)
        self.counted, self.sums, self.busy, self.closed = 0, [], 0.0, self.seconds
