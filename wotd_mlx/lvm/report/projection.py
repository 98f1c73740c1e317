"""Targets and predictions in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.lvm.evaluation.results import Point
from wotd_mlx.lvm.report.colours import style
from wotd_mlx.lvm.report.figure import Plot, canvas, multiples, panels_size
from wotd_mlx.lvm.report.results import Results

Points = NDArray[np.float64]


def draw(results: Results, folder: Path) -> list[Plot]:
    """``projection.png``, a panel for each model; nothing where no projection was made."""
    found = results.projection
    if found is None:
        return []
    targets = _points(found.targets)
    predictions = {name: _points(found.predictions[name]) for name in results.models if found.predictions.get(name)}
    if not len(targets) or not predictions:
        return []
    method = found.method
    file = folder / "projection.png"
    with canvas(file, *panels_size(len(predictions), 1.9)) as figure:
        for name, axes in multiples(figure, list(predictions)).items():
            drawn = style(name)
            axes.scatter(targets[:, 0], targets[:, 1], s=9, c="#b6bec7", linewidths=0, rasterized=True)
            axes.scatter(
                predictions[name][:, 0],
                predictions[name][:, 1],
                s=11,
                c=drawn.colour,
                alpha=0.75,
                linewidths=0,
                rasterized=True,
            )
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        figure.supxlabel(f"{method}, first coordinate (no unit)", fontsize=9.5)
        figure.supylabel(f"{method}, second coordinate (no unit)", fontsize=9.5)
    caption = (
        f"{len(targets)} sentences that were to come in grey, the predictions of them in colour. Where colour keeps to "
        "a small region, predictions are less varied than sentences are. Distances between far groups mean little."
    )
    return [Plot(file, f"Targets and predictions by {method}", caption)]


def _points(found: Sequence[Point]) -> Points:
    """(n, 2)"""
    return np.array(found, float).reshape(-1, 2)
