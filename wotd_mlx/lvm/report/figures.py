"""The comparison's figures: each function draws one by plain matplotlib, or gives None where nothing was measured."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wotd_mlx.io.files import write_atomically
from wotd_mlx.lvm.report.results import EXCLUSIONS, TOP, Results
from wotd_mlx.lvm.report.table import LATENCY, SECONDS, SIZE
from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {"axes.axisbelow": True, "font.size": 9, "legend.frameon": False, "savefig.dpi": 120}


class Plot(NamedTuple):
    """A figure in ``comparison_plots``: its file, its heading in the report, and what is to be seen in it."""

    file: Path
    title: str
    caption: str


def write_figures(results: Results, folder: Path) -> list[Plot]:
    """Write every figure whose numbers are known to ``folder``, in the order of the report.

    Raises:
        WotdError: matplotlib is not installed, or a file can't be written.
    """
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise WotdError("figures need matplotlib; install it with `pip install 'wotd-mlx[plots]'`") from error
    plots = []
    with rc_context(STYLE):
        for draw, title, caption in FIGURES:
            if figure := draw(results):
                file, content = folder / f"{draw.__name__}.png", BytesIO()
                figure.savefig(content, format="png")
                try:
                    write_atomically(file, content.getvalue())
                except OSError as error:
                    raise WotdError(f"{file} can't be written: {error.strerror}") from error
                plots.append(Plot(file, title, caption))
    return plots


def panels(count: int, columns: int, width: float, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` axes, each so many inches wide and high; without pyplot, whose figures are the caller's."""
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes[:count]


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the n-th model, the same in all figures."""
    return {"color": f"C{number % 10}", "marker": "os"[number // 10 % 2]}


def bars(results: Results) -> Figure | None:
    if not results.models:
        return None
    names = [*results.baselines, *results.models]
    colours = ["C7" if name in results.baselines else "C0" for name in names]
    figure, axes = panels(4, 2, 4.6, 0.8 + 0.2 * len(names), sharey=True)
    figures = {"mean cosine": "validation.valid.cosine", "mean margin": "validation.valid.margin",
               "Top-1, share of targets": "retrieval.valid.context.top1",
               "Top-5, share of targets": "retrieval.valid.context.top5"}  # fmt: skip
    for at, (label, path) in zip(axes, figures.items(), strict=True):
        values = [results.number(name, path) for name in names]
        drawn = at.barh(names, values, xerr=[_error(results, name, path) for name in names], color=colours)
        at.bar_label(drawn, [f"{v:.3f}" if math.isfinite(v) else "not measured" for v in values], padding=3)
        at.margins(x=0.2)
        at.set_xlabel(label)
    axes[0].invert_yaxis()
    return figure


def _error(results: Results, name: str, path: str) -> float:
    """Twice the standard error of a share p, √(p (1 − p) / n), or of a mean cosine, σ / √n; NaN of a mean margin."""
    count = results.number(name, "validation.valid.count") or math.nan
    if path.startswith("retrieval"):
        p = results.number(name, path)
        return 2 * math.sqrt(p * (1 - p) / count)
    return 2 * results.number(name, "validation.valid.deviation") / math.sqrt(count) if "cosine" in path else math.nan


def tradeoff(results: Results) -> Figure | None:
    if not results.models:
        return None
    figure, axes = panels(3, 3, 4, 3.6, sharey=True)
    for at, cost in zip(axes, (SIZE, SECONDS, LATENCY), strict=True):
        for n, name in enumerate(results.models):
            x, y = results.number(name, cost.path) * cost.scale, results.number(name, "validation.valid.cosine")
            at.plot(x, y, **look(n), linestyle="", label=name)
        at.set(xlabel=cost.meaning, xscale="log")
        log_ticks(at.xaxis)
        at.grid(alpha=0.3)
    axes[0].set_ylabel("mean cosine")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 of each decade, since few of our figures span one."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def curves(results: Results) -> Figure | None:
    names = [name for name in results.models if results.histories.get(name)]
    if not names:
        return None
    figure, axes = panels(8, 4, 3.2, 2.8, sharex=True)
    keys = ("train_loss", "train_cosine", "train_margin", "gradient_norm",
            "valid_loss", "valid_cosine", "valid_margin", "learning_rate")  # fmt: skip
    for at, key in zip(axes, keys, strict=True):
        for name in names:
            epochs = results.histories[name]
            best = max(n for n, epoch in enumerate(epochs) if epoch.best)
            at.plot([e.epoch for e in epochs], [getattr(e, key) for e in epochs], markevery=[best], label=name,
                    **look(results.models.index(name)))  # fmt: skip
        at.set_ylabel(key.replace("_", " ").replace("train ", "training ").replace("valid ", "validation "))
        at.grid(alpha=0.3)
        at.locator_params(axis="x", integer=True)
        if key in ("gradient_norm", "learning_rate"):
            at.set_yscale("log")
            log_ticks(at.yaxis)
    figure.supxlabel("epoch")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def top_k(results: Results) -> Figure | None:
    if not results.retrieval:
        return None
    names = [*results.baselines, *results.models]
    figure, axes = panels(2, 2, 4.2, 0.8 + 0.25 * len(names), sharey=True)
    for at, (excluded, title) in zip(axes, EXCLUSIONS.items(), strict=True):
        paths = [f"retrieval.valid.{excluded}.{key}" for key in (*(f"top{k}" for k in TOP), "mean_reciprocal_rank")]
        values = [[results.number(name, path) for path in paths] for name in names]
        _heat_map(at, values, names, [*(f"Top-{k}" for k in TOP), "MRR"])
        at.set_title(textwrap.fill(title, 40), fontsize=9)
    return figure


def _heat_map(axes: Axes, values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str]) -> None:
    """Cells (rows, columns) shaded by their value, which stands in each; NaN is white and empty."""
    table = np.array(values, float)
    axes.imshow(table, cmap="Blues", aspect="auto")
    middle = (np.nanmin(table) + np.nanmax(table)) / 2
    for (r, c), value in np.ndenumerate(table):
        if math.isfinite(value):
            colour = "white" if value > middle else "black"
            axes.text(c, r, f"{value:.3f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", rotation_mode="anchor")


def groups(results: Results) -> Figure | None:
    labels = {"by_length": "sentences in the target's article", "by_topic": "topic of the target's article",
              "by_similarity": "newest sentence's cosine to the training data"}  # fmt: skip
    rows = [results.validation.rows[name] for name in results.models]
    found = {key: [{b.bucket: b for b in getattr(row, key)} for row in rows] for key in labels}
    counts = {key: {b.bucket: b.count for row in of for b in row.values()} for key, of in found.items() if any(of)}
    if not counts:
        return None
    width = 2.5 + 0.6 * max(map(len, counts.values()))
    figure, axes = panels(len(counts), 1, width, 2 + 0.25 * len(rows))
    for at, (key, heads) in zip(axes, counts.items(), strict=True):
        values = [[row[head].cosine if head in row else math.nan for head in heads] for row in found[key]]
        _heat_map(at, values, results.models, [f"{_short(head)} ({count:,})" for head, count in heads.items()])
        at.set_xlabel(f"{labels[key]} (number of targets)")
    return figure


def _short(text: str) -> str:
    """A topic on one line, its dollar signs no formula."""
    return textwrap.shorten(text, 30, placeholder="…").replace("$", r"\$")


def confusion(results: Results) -> Figure | None:
    tables = results.retrieval.confusion if results.retrieval else {}
    names = [name for name in results.models if name in tables and tables[name].topics]
    if not names:
        return None
    best = max(names, key=lambda name: results.number(name, "validation.valid.cosine"))
    topics = [_short(topic) for topic in tables[best].topics]
    figure, (axes,) = panels(1, 1, 3 + 0.4 * len(topics), 2.5 + 0.4 * len(topics))
    _heat_map(axes, tables[best].matrix, topics, topics)
    axes.set(xlabel="topic of the nearest candidate", ylabel="topic of the next sentence", title=best)
    return figure


def cosine_boxes(results: Results) -> Figure | None:
    found = {n: v.quartiles for n in (*results.baselines, *results.models) if (v := results.validation.rows[n].valid)}
    if not found:
        return None
    figure, (axes,) = panels(1, 1, 7, 1 + 0.25 * len(found))
    keys = ("whislo", "q1", "med", "q3", "whishi")
    stats = [{"label": name, **dict(zip(keys, quartiles, strict=True))} for name, quartiles in found.items()]
    axes.bxp(stats, showfliers=False, orientation="horizontal")
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("cosine of prediction and next sentence")
    return figure


def projection(results: Results) -> Figure | None:
    plane = results.retrieval.projection if results.retrieval else None
    names = [name for name in results.models if plane and plane.predictions.get(name)]
    if not plane or not names:
        return None
    figure, axes = panels(len(names), 5, 2.4, 2.4, sharex=True, sharey=True)
    for at, name in zip(axes, names, strict=True):
        for points, colour in ((plane.targets, "C7"), (plane.predictions[name], "C0")):
            at.plot(*np.transpose(points), ".", markersize=3, alpha=0.6, color=colour)
        at.set(title=name, xticks=[], yticks=[])
    figure.supxlabel(f"{plane.method} (no unit)")
    return figure


FIGURES: tuple[tuple[Callable[[Results], Figure | None], str, str], ...] = (
    (bars, "Quality on validation articles", "Baselines in grey, models in blue. Black lines are twice the standard "
     "error if targets were independent; those of one article are not, so it is rather more."),
    (tradeoff, "Cost against quality", "Better is up and to the left; costs are on logarithmic axes."),
    (top_k, "Top-K retrieval on validation articles",
     "Share of targets among the K nearest candidates, and mean reciprocal rank (MRR)."),
    (groups, "Mean cosine by kind of target", "Validation targets. What a model has no figure for is white."),
    (confusion, "Confusion of topics", "The model with the best cosine; cells are shares of a row. Articles without a "
     "topic are left out, so a row may add up to less than 1."),
    (curves, "Training", "A marker stands at the epoch whose weights were kept. Values are means over all positions "
     "of the training windows, so they differ from the tables', which have whole contexts."),
    (cosine_boxes, "Spread of the cosine", "A box holds the middle half of the validation targets, its line is their "
     "median; whiskers go to the lowest and the highest."),
    (projection, "Targets and predictions in the plane", "Next sentences in grey, their predictions in blue. Where "
     "predictions keep to a small region, they vary less than sentences do. Distances between far groups mean little."),
)  # fmt: skip
"""Each with its title and caption, in the order of the report; the function's name is the file's."""
