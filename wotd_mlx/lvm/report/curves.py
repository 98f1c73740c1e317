"""How training went: loss, cosine, margin, learning rate and gradient norm against epochs, all models together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wotd_mlx.lvm.report.colours import style
from wotd_mlx.lvm.report.figure import Plot, canvas, log_axis, model_keys, multiples, panels_size, whole_epochs
from wotd_mlx.lvm.report.results import Results
from wotd_mlx.lvm.training.progressed import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAIRS = (
    (
        "loss",
        "Loss",
        "loss (no unit)",
        "What training minimises. Models trained by different recipes have different losses.",
    ),
    ("cosine", "Cosine", "cosine", "Cosine between the predicted and the next vector."),
    ("margin", "Margin", "margin (cosine)", "Cosine with the next vector minus cosine with the newest one."),
)
_MARK = (
    "A marker stands at the epoch whose weights were kept. Figures are means over all places of the training windows, "
    "so they differ from the table's, which has whole contexts."
)


def draw(results: Results, folder: Path) -> list[Plot]:
    """``curves_*.png``: of every model with a history."""
    histories = {name: results.histories[name] for name in results.models if name in results.histories}
    plots = [
        Plot(file, f"{title} by epoch", f"{caption} {_MARK}")
        for key, title, unit, caption in _PAIRS
        if _pair(file := folder / f"curves_{key}.png", key, unit, histories)
    ]
    if _gradients(file := folder / "curves_gradient_norm.png", histories):
        plots.append(
            Plot(file, "Gradient norm by epoch", "Mean over an epoch's steps of the gradient's norm before clipping.")
        )
    if _rates(file := folder / "curves_learning_rate.png", histories):
        caption = (
            "Each model's rate at the end of an epoch, the others' in grey: it falls when the validation loss no "
            "longer does, and the line ends where training stopped."
        )
        plots.append(Plot(file, "Learning rate by epoch", caption))
    return plots


def _points(history: Sequence[Epoch], key: str) -> tuple[list[int], list[float]]:
    return [line.epoch for line in history], [getattr(line, key) for line in history]


def _line(axes: Axes, name: str, history: Sequence[Epoch], key: str) -> None:
    x, y = _points(history, key)
    drawn = style(name)
    axes.plot(x, y, linewidth=1.5, **drawn.line)
    at = max(n for n, line in enumerate(history) if line.best)
    axes.plot(
        x[at],
        y[at],
        drawn.marker,
        color=drawn.colour,
        markersize=7 * drawn.scale,
        markeredgecolor="white",
        markeredgewidth=0.7,
        zorder=4,
    )


def _pair(file: Path, key: str, unit: str, histories: dict[str, Sequence[Epoch]]) -> bool:
    parts = {"train": "training articles", "valid": "validation articles"}
    if not histories:
        return False
    with canvas(file, 9.6, 4.6) as figure:
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (part, title) in zip(panels, parts.items(), strict=True):
            for name, history in histories.items():
                _line(axes, name, history, f"{part}_{key}")
            axes.set_title(title)
            axes.grid(axis="y")
            whole_epochs(axes)
        panels[0].set_ylabel(unit)
        model_keys(figure, list(histories))
    return True


def _gradients(file: Path, histories: dict[str, Sequence[Epoch]]) -> bool:
    norms = [y for history in histories.values() for y in _points(history, "gradient_norm")[1] if y > 0]
    if not norms:
        return False
    with canvas(file, 7.6, 4.6) as figure:
        axes = figure.subplots()
        for name, history in histories.items():
            _line(axes, name, history, "gradient_norm")
        axes.grid(axis="y")
        axes.set_ylabel("gradient norm (logarithmic)")
        log_axis(axes, "y", norms, lambda value: f"{value:g}")
        whole_epochs(axes)
        model_keys(figure, list(histories))
    return True


def _rates(file: Path, histories: dict[str, Sequence[Epoch]]) -> bool:
    points = {name: _points(history, "learning_rate") for name, history in histories.items()}
    points = {name: (x, y) for name, (x, y) in points.items() if y and min(y) > 0}
    if not points:
        return False
    # Most rates are equal for a while, and lines on top of one another say nothing: a panel for each.
    with canvas(file, *panels_size(len(points), 1.55)) as figure:
        panels = multiples(figure, list(points))
        for name, axes in panels.items():
            for x, y in points.values():
                axes.plot(x, y, color="#c4ccd4", linewidth=1, drawstyle="steps-mid", zorder=1)
            x, y = points[name]
            axes.plot(x, y, linewidth=2, drawstyle="steps-mid", zorder=3, **style(name).line)
            axes.plot(
                x[-1], y[-1], style(name).marker, color=style(name).colour, markersize=6 * style(name).scale, zorder=4
            )
            log_axis(axes, "y", [v for _, ys in points.values() for v in ys], lambda value: f"{value:g}")
            whole_epochs(axes)
            axes.set_xlabel("")
        figure.supxlabel("epoch", fontsize=9.5)
        figure.supylabel("learning rate (logarithmic)", fontsize=9.5)
    return True
