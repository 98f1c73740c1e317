"""Quality as bars: baselines in grey, models in their colours, and the best baseline as a line across them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wotd_mlx.lvm.report.colours import DASHED, style
from wotd_mlx.lvm.report.figure import INK, MUTED, Plot, canvas, short
from wotd_mlx.lvm.report.results import TOP, Place, Results
from wotd_mlx.lvm.report.table import share, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEST = "best baseline in each panel"

_PANELS: tuple[tuple[str, str, Place], ...] = (
    ("Cosine", "mean cosine", ("validation", "valid", "cosine")),
    ("Margin", "cosine, next minus newest", ("validation", "valid", "margin")),
    *((f"Top-{key[3:]}", "share of targets", ("retrieval", "valid", "context", key)) for key in TOP),
)


def draw(results: Results, folder: Path) -> list[Plot]:
    """``bars.png``: cosine, margin and Top-k on the validation articles."""
    panels = [p for p in _PANELS if any(results.number(name, *p[2]) is not None for name in results.models)]
    if not panels:
        return []
    names = [*results.baselines, *results.models]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    file = folder / "bars.png"
    with canvas(file, 1.6 + 3.0 * columns, 0.9 + rows * (0.75 + 0.23 * len(names))) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _bars(axes, results, names, *panel)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        if lines := [line for axes in grid.flat for line in axes.lines if line.get_label() == _BEST]:
            figure.legend(handles=lines[:1], loc="outside lower center", handlelength=3.2)
    caption = (
        "Grey bars are baselines, coloured ones models, and the upright line is the best baseline. Figures at the "
        "right are the bars' values, the largest in bold. Thin black lines show where a value may lie by chance "
        "(twice the standard error, were targets independent; those of one article are not, so it is rather more)."
    )
    return [Plot(file, "Quality on validation articles", caption)]


def _bars(axes: Axes, results: Results, names: Sequence[str], title: str, unit: str, place: Place) -> None:
    from matplotlib.patheffects import withStroke

    baselines = results.baselines
    values = {name: value for name in names if (value := results.number(name, *place)) is not None}
    halo = [withStroke(linewidth=2.6, foreground="white")]
    for y, name in enumerate(names):
        if name not in values:
            continue
        value = values[name]
        axes.barh(y, value, height=0.74, color=style(name, baseline=name in baselines).colour)
        if error := _error(results, name, place):
            axes.plot([value - error, value + error], [y, y], color="black", linewidth=1, zorder=4, path_effects=halo)
        weight = "bold" if value == max(values.values()) and len(values) > 1 else "normal"
        text = signed(value) if title == "Margin" else share(value)
        axes.annotate(text, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=9, weight=weight)
    if (bar := results.best_baseline(place)) is not None:
        axes.axvline(bar, color=INK, linewidth=1.2, linestyle=DASHED, zorder=3, label=_BEST, path_effects=halo)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor="black")
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=4)
    axes.set_title(title)
    axes.set_xlabel(unit)


def _error(results: Results, name: str, place: Place) -> float | None:
    """Twice the standard error of a mean cosine or of a share."""
    count = results.number(name, "validation", "valid", "count")
    value = results.number(name, *place)
    if not count or value is None:
        return None
    if place[0] == "retrieval":
        return 2 * math.sqrt(max(value * (1 - value), 0) / count)
    deviation = results.number(name, "validation", "valid", "deviation")
    return None if place[-1] != "cosine" or deviation is None else 2 * deviation / math.sqrt(count)
