"""What quality costs: parameters, training time and latency against cosine and Top-5."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wotd_mlx.lvm.report.colours import style
from wotd_mlx.lvm.report.figure import MUTED, Plot, canvas, log_axis, short
from wotd_mlx.lvm.report.results import Place, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox


def _tick(value: float) -> str:
    """``0.5``, ``200``, ``2 M``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        # From 10 k on: 2,000 seconds read better whole.
        if value >= max(size, 1e4):
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class _Cost(NamedTuple):
    file: str
    title: str
    unit: str
    place: Place


_COSTS = (
    _Cost("size", "Parameters against quality", "parameters (logarithmic)", ("validation", "parameters")),
    _Cost("training", "Training time against quality", "training, seconds (logarithmic)", ("validation", "seconds")),
    _Cost(
        "latency",
        "Latency against quality",
        "a prediction's median time, ms (logarithmic)",
        ("inference", "latency_ms", "p50"),
    ),
)
_GAINS: tuple[tuple[str, Place], ...] = (
    ("cosine", ("validation", "valid", "cosine")),
    ("Top-5, share of targets", ("retrieval", "valid", "context", "top5")),
)
_CAPTION = "Better is up and to the left. Grey lines are baselines; those far below the models lie outside the picture."


def draw(results: Results, folder: Path) -> list[Plot]:
    """``tradeoff_*.png``: those whose cost is known for a model at least."""
    return [
        Plot(file, cost.title, _CAPTION)
        for cost in _COSTS
        if _draw(file := folder / f"tradeoff_{cost.file}.png", results, cost)
    ]


def _points(results: Results, cost: Place, gain: Place) -> dict[str, tuple[float, float]]:
    found = {name: (results.number(name, *cost), results.number(name, *gain)) for name in results.models}
    return {name: (x, y) for name, (x, y) in found.items() if x is not None and x > 0 and y is not None}


def _draw(file: Path, results: Results, cost: _Cost) -> bool:
    gains = [(unit, place, p) for unit, place in _GAINS if (p := _points(results, cost.place, place))]
    if not gains:
        return False
    with canvas(file, 5.3 * len(gains), 4.9) as figure:
        panels = figure.subplots(1, len(gains), squeeze=False)[0]
        for axes, (unit, place, points) in zip(panels, gains, strict=True):
            for name, point in points.items():
                drawn = style(name)
                axes.plot(
                    *point,
                    drawn.marker,
                    color=drawn.colour,
                    markersize=8 * drawn.scale,
                    markeredgecolor="white",
                    markeredgewidth=0.7,
                    zorder=4,
                )
            log_axis(axes, "x", [x for x, _ in points.values()], _tick)
            _frame(axes, [y for _, y in points.values()], results.best_baseline(place))
            axes.set_xlabel(cost.unit)
            axes.set_ylabel(unit)
            axes.grid(axis="y")
        _baselines(figure, results, [(axes, place) for axes, (_, place, _) in zip(panels, gains, strict=True)])
        figure.draw_without_rendering()
        for axes, (_, _, points) in zip(panels, gains, strict=True):
            label(axes, [short(name, 18) for name in points], list(points.values()))
    return True


def _frame(axes: Axes, values: Sequence[float], bar: float | None) -> None:
    """Limits that hold the models and the best baseline; all baselines would press the models together."""
    held = [*values] if bar is None else [*values, bar]
    low, high = min(held), max(held)
    room = 0.12 * (high - low) or 0.01
    axes.set_ylim(low - room, high + room)


def _baselines(figure: Figure, results: Results, panels: Sequence[tuple[Axes, Place]]) -> None:
    """A line for each baseline inside a panel's limits, and one legend under all panels."""
    drawn = {}
    for name in results.baselines:
        for axes, place in panels:
            value = results.number(name, *place)
            if value is not None and axes.get_ylim()[0] <= value <= axes.get_ylim()[1]:
                drawn[name] = axes.axhline(value, linewidth=1.4, zorder=1, **style(name, baseline=True).line)
    if drawn:
        names = [short(name) for name in drawn]
        figure.legend(drawn.values(), names, loc="outside lower center", ncols=5, handlelength=3.4, title="baselines")


def label(axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]) -> None:
    """Write each name near its point so that no two names overlap, nor a name and a marker; far ones get a thin line.

    Places are tried on ever wider rings round the point, the first free one is taken. The figure must have been laid
    out before, as sizes are measured in pixels.
    """
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    frame = axes.get_window_extent()
    pixels = [tuple(axes.transData.transform(point)) for point in points]
    around = [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in pixels]
    taken: list[Bbox] = []
    figure = axes.get_figure(root=True)
    assert figure is not None
    point = 72 / figure.dpi
    # Crowded points first: those that stand alone find a place anyhow.
    order = sorted(range(len(names)), key=lambda n: sorted(math.dist(pixels[n], p) for p in pixels)[1:3])
    for n in order:
        look: dict[str, Any] = {"fontsize": 8.5, "ha": "center", "va": "center", "zorder": 6}
        measured = axes.annotate(names[n], points[n], **look)
        size = measured.get_window_extent()
        measured.remove()
        x, y = pixels[n]
        found, least = (0.0, 0.0), math.inf
        for dx, dy in _rings(size.width, size.height):
            box = _box(x + dx, y + dy, size)
            inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
            clash = sum(_overlap(box, other) for other in [*taken, *around]) + (0 if inside else 1e4)
            if clash < least:
                found, least = (dx, dy), clash
            if not clash:
                break
        taken.append(_box(x + found[0], y + found[1], size))
        far = max(abs(found[0]) - size.width / 2, abs(found[1]) - size.height / 2) > 14
        arrow = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3}
        text = axes.annotate(
            names[n],
            points[n],
            xytext=(found[0] * point, found[1] * point),
            textcoords="offset points",
            arrowprops=arrow if far else None,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            **look,
        )
        text.set_in_layout(False)


def _box(x: float, y: float, size: Bbox) -> Bbox:
    """A text's box round its middle, a pixel wider on either side."""
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(x - size.width / 2 - 1, y - size.height / 2, size.width + 2, size.height)


def _rings(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Offsets of a text's middle: right, left, above, below, then between them; the nearest first."""
    for ring in range(40):
        gap = 10 + 9 * ring
        for angle in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200, 70, 110, 250, 290):
            c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            yield c * (gap + width / 2), s * (gap + height / 2)


def _overlap(a: Bbox, b: Bbox) -> float:
    """Area in common, in pixels."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(max(width, 0) * max(height, 0))
