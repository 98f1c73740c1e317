"""How the share of liked words, and regret, grow over days, by strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMOOTH = 7
A_DAY = 3


def by_day(row: dict[str, Any]) -> NDArray[np.int64]:
    """How many of each day's words were liked."""
    return np.array([int(digit) for digit in row["by_day"]])


def regret(row: dict[str, Any]) -> NDArray[np.float64]:
    """Day by day, how many liked words an oracle would have given more until then."""
    given = A_DAY * np.arange(1, len(row["by_day"]) + 1)
    missed: NDArray[np.float64] = np.minimum(given, row["most"] * given[-1]) - np.cumsum(by_day(row))
    return missed


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw the means over people and seeds, a week's running mean and regret, and each person's share, by strategy."""
    from matplotlib import pyplot

    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    people = list(dict.fromkeys(row["person"] for row in rows))
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 5), layout="constrained", width_ratios=(1, 1, 1.6))
    left, middle, right = axes
    for number, strategy in enumerate(strategies):
        colour, width = f"C{number}", 2.2 if number == 0 else 1
        own = [row for row in rows if row["strategy"] == strategy]
        days = np.mean([by_day(row) for row in own], axis=0) / A_DAY
        running = np.convolve(days, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
        left.plot(np.arange(_SMOOTH, len(days) + 1), running, color=colour, label=strategy, lw=width)
        middle.plot(np.arange(1, len(days) + 1), np.mean([regret(row) for row in own], axis=0), color=colour, lw=width)
        by_person = {
            place: np.mean(liked)
            for place, person in enumerate(people)
            if (liked := [row["liked"] for row in own if row["person"] == person])
        }
        size = 60 if number == 0 else 25
        right.scatter([*by_person.values()], [*by_person], color=colour, s=size, zorder=3 - number)
    for axis in (left, middle):
        axis.set_xlabel("day")
    middle.set_title("regret: liked words missed", loc="left")
    left.set_title("share of words liked, mean over people", loc="left")
    figure.legend(loc="outside lower center", ncols=len(strategies), frameon=False)
    right.set_yticks(np.arange(len(people)), people)
    right.invert_yaxis()
    right.set_title("by person", loc="left")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    print(f"drew {file}")
