"""How errors are spread: a histogram for each model, and boxes of the cosine beside those of the baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wotd_mlx.lvm.report.colours import style
from wotd_mlx.lvm.report.figure import INK, Plot, canvas, multiples, panels_size, short
from wotd_mlx.lvm.report.results import Results


def draw(results: Results, folder: Path) -> list[Plot]:
    """``error_histogram.png`` and ``cosine_boxes.png``."""
    plots = []
    if _histograms(file := folder / "error_histogram.png", results):
        caption = (
            "Cosine error is 1 − cosine: 0 is the next sentence's own vector, 1 one at right angles to it. "
            "The upright line is the model's mean, the grey outline the mean of all models."
        )
        plots.append(Plot(file, "Errors of each model", caption))
    if _boxes(file := folder / "cosine_boxes.png", results):
        caption = (
            "A box holds the middle half of the validation targets, its line is their median; whiskers go to the worst "
            "and the best."
        )
        plots.append(Plot(file, "Spread of the cosine", caption))
    return plots


def _histograms(file: Path, results: Results) -> bool:
    found = {}
    for name in results.models:
        histogram = results.validation[name].histogram
        if histogram and sum(histogram.counts):
            edges, counts = np.array(histogram.edges), np.array(histogram.counts)
            # Bins may differ between models; as a density they can be compared.
            found[name] = (edges, counts / sum(counts) / np.diff(edges) * 5)
    if not found:
        return False
    same = len({tuple(limits) for limits, _ in found.values()}) == 1 and len(found) > 1
    with canvas(file, *panels_size(len(found), 1.6)) as figure:
        for name, axes in multiples(figure, list(found)).items():
            limits, density = found[name]
            axes.stairs(density, limits, fill=True, color=style(name).colour)
            if same:
                axes.stairs(np.mean([d for _, d in found.values()], axis=0), limits, color="#6e7781", linewidth=1.1)
            if (mean := results.number(name, "validation", "valid", "cosine")) is not None:
                axes.axvline(1 - mean, color=INK, linewidth=1.2)
            axes.set_ylim(0, 1.08 * max(d.max() for _, d in found.values()))
        figure.supxlabel("cosine error, 1 − cosine", fontsize=9.5)
        figure.supylabel("% of targets in 0.05 of error", fontsize=9.5)
    return True


def _boxes(file: Path, results: Results) -> bool:
    names = [*results.baselines, *results.models]
    boxes = [(name, valid.quartiles) for name in names if (valid := results.validation[name].valid)]
    if not boxes:
        return False
    with canvas(file, 7.6, 1.0 + 0.32 * len(boxes)) as figure:
        axes = figure.subplots()
        for y, (name, (low, first, middle, third, high)) in enumerate(boxes):
            stats = {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high}
            colour = style(name, baseline=name in results.baselines).colour
            axes.bxp(
                [stats], positions=[y], widths=0.62, showfliers=False, orientation="horizontal", patch_artist=True,
                manage_ticks=False, boxprops={"facecolor": colour, "edgecolor": colour},
                medianprops={"color": "white", "linewidth": 2}, whiskerprops={"color": colour},
                capprops={"color": colour},
            )  # fmt: skip
        axes.set_yticks(range(len(boxes)), [short(name) for name, _ in boxes])
        axes.set_ylim(len(boxes) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelcolor="black")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlabel("cosine between prediction and next sentence")
    return True
