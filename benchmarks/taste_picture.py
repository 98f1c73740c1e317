"""How the share of liked words grows over days, by strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SMOOTH = 7


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw the mean over people and seeds, a week's running mean, and each person's share, by strategy."""
    from matplotlib import pyplot

    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    people = list(dict.fromkeys(row["person"] for row in rows))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5), layout="constrained", width_ratios=(1, 1.6))
    for number, strategy in enumerate(strategies):
        colour = f"C{number}"
        days = np.mean([row["by_day"] for row in rows if row["strategy"] == strategy], axis=0)
        running = np.convolve(days, np.ones(_SMOOTH) / _SMOOTH, mode="valid")
        left.plot(
            np.arange(_SMOOTH, len(days) + 1), running, color=colour, label=strategy, lw=2.2 if number == 0 else 1
        )
        shares = [
            np.mean([row["liked"] for row in rows if row["strategy"] == strategy and row["person"] == person])
            for person in people
        ]
        right.scatter(shares, np.arange(len(people)), color=colour, s=60 if number == 0 else 25, zorder=3 - number)
    left.set_xlabel("day")
    left.set_title("share of words liked, mean over people", loc="left")
    figure.legend(loc="outside lower center", ncols=len(strategies), frameon=False)
    right.set_yticks(np.arange(len(people)), people)
    right.invert_yaxis()
    right.set_title("by person", loc="left")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    print(f"drew {file}")
