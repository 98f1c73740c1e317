"""Tables as pictures: Top-K retrieval, quality by kind of target, and which topic is taken for which."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.lvm.evaluation.results import Bucket, Confusion
from wotd_mlx.lvm.report.figure import INK, Plot, canvas, short
from wotd_mlx.lvm.report.results import EXCLUSIONS, TOP, Results
from wotd_mlx.lvm.report.table import share, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Grid = NDArray[np.float64]

_COLUMNS = (*TOP, "mean_reciprocal_rank")
_BUCKETS = (
    ("by_length", "Quality by article length", "sentences in the target's article"),
    ("by_topic", "Quality by topic", "topic of the target's article"),
    (
        "by_similarity",
        "Quality by similarity to the training data",
        "cosine of the newest sentence to its nearest training one",
    ),
)
_BY_COLUMN = "Shades run from the lowest to the highest figure of a column."


def draw(results: Results, folder: Path) -> list[Plot]:
    """``top_k.png``, ``by_*.png`` and ``confusion.png``, where their figures are known."""
    plots = []
    if _top_k(file := folder / "top_k.png", results):
        caption = f"Share of targets found among the K nearest candidates, and the mean of 1 / rank (MRR). {_BY_COLUMN}"
        plots.append(Plot(file, "Top-K retrieval", caption))
    for key, title, label in _BUCKETS:
        if _buckets(file := folder / f"{key}.png", results, key, label):
            caption = f"Figures of each group of validation targets; below its name, how many it has. {_BY_COLUMN}"
            plots.append(Plot(file, title, caption))
    if _confusion(file := folder / "confusion.png", results):
        caption = (
            "The best three models. Each row is the topic of the sentence that was to come, each column that of the "
            "nearest candidate; figures are per cent of the row. A topic that no target has is left out of the rows. "
            "Only articles whose topic is known are counted, on both sides, so a row may add up to less than 100."
        )
        plots.append(Plot(file, "Confusion by topic", caption))
    return plots


def grid(axes: Axes, values: Grid, rows: Sequence[str], columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    """Shaded cells of ``values`` (rows, columns), which are in [0, 1] or NaN where there is nothing, with texts."""
    import matplotlib as mpl

    blues = mpl.colors.LinearSegmentedColormap.from_list("blues", ["#f3f7fb", "#9dc3e6", "#2f77b5", "#0b3c6f"])
    shades = blues.with_extremes(bad="#ffffff")
    axes.imshow(np.ma.masked_invalid(values), cmap=shades, vmin=0, vmax=1, aspect="auto")
    for r, line in enumerate(texts):
        for c, text in enumerate(line):
            colour = "white" if _dark(shades(values[r, c])) else INK
            axes.text(c, r, text, ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelcolor="black")
    axes.spines[:].set_visible(False)


def _dark(shade: Sequence[float]) -> bool:
    """Whether white stands out from a shade more than black does (relative luminance, WCAG 2)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shade[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.18


def by_column(values: Grid) -> Grid:
    """Each column stretched to [0, 1]; one whose figures are all equal stands at a half."""
    shaded = np.full(values.shape, np.nan)
    for c, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if len(known):
            low, width = known.min(), np.ptp(known)
            shaded[:, c] = (column - low) / width if width else np.where(np.isfinite(column), 0.5, np.nan)
    return shaded


def _texts(values: Grid, show: Callable[[float], str]) -> list[list[str]]:
    return [[show(v) if math.isfinite(v) else "" for v in line] for line in values]


def _array(values: Sequence[Sequence[float | None]]) -> Grid:
    return np.array([[math.nan if v is None else v for v in line] for line in values], float)


def _top_k(file: Path, results: Results) -> bool:
    names = [*results.baselines, *results.models]
    found = []
    for excluded, title in EXCLUSIONS.items():
        values = _array([[results.number(n, "retrieval", "valid", excluded, key) for key in _COLUMNS] for n in names])
        if np.isfinite(values).any():
            found.append((title, values))
    if not found:
        return False
    with canvas(file, 2.0 + 3.7 * len(found), 0.9 + 0.3 * len(names)) as figure:
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (title, values) in zip(panels, found, strict=True):
            heads = [*(f"Top-{key[3:]}" for key in TOP), "MRR"]
            grid(axes, by_column(values), [short(name) for name in names], heads, _texts(values, share))
            axes.set_title(title, fontsize=9.5, pad=22)
            axes.xaxis.tick_top()
            if results.baselines and results.models:
                axes.axhline(len(results.baselines) - 0.5, color=INK, linewidth=1.2)
    return True


def _buckets(file: Path, results: Results, key: str, label: str) -> bool:
    entries = {name: {b.bucket: b for b in getattr(results.validation[name], key)} for name in results.models}
    entries = {name: found for name, found in entries.items() if found}
    buckets = list(dict.fromkeys(bucket for found in entries.values() for bucket in found))
    if not buckets:
        return False
    heads = [f"{short(bucket, 34)}\n({_count(entries, bucket)})" for bucket in buckets]
    slanted = max(len(line) for head in heads for line in head.split("\n")) > 9 or len(buckets) > 6
    width = max(0.62 * len(buckets), 2.4)
    with canvas(file, 2.0 + 2 * width, 1.3 + 0.3 * len(entries) + (1.5 if slanted else 0.2)) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, measure, show in zip(panels, ("cosine", "margin"), (share, signed), strict=True):
            values = _array([[getattr(found.get(b), measure, None) for b in buckets] for found in entries.values()])
            grid(axes, by_column(values), [short(name) for name in entries], heads, _texts(values, show))
            if slanted:
                axes.set_xticks(range(len(heads)), heads, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_title(measure)
        figure.supxlabel(f"{label} (targets)", fontsize=9.5)
    return True


def _count(entries: dict[str, dict[str, Bucket]], bucket: str) -> str:
    return f"{next(found[bucket].count for found in entries.values() if bucket in found):,}"


def _confusion(file: Path, results: Results) -> bool:
    matrices = {name: m for name in results.leaders() if (m := _matrix(results.confusion.get(name)))}
    if not matrices:
        return False
    most_rows = max(len(rows) for rows, _, _ in matrices.values())
    most_columns = max(len(columns) for _, columns, _ in matrices.values())
    alike = len({tuple(rows) for rows, _, _ in matrices.values()}) == 1
    width = max(0.36 * most_columns, 1.8)
    legible = most_columns <= 15
    labels = 2.6 if alike else 2.6 * len(matrices)
    with canvas(file, labels + (width + 0.2) * len(matrices), max(0.36 * most_rows, 1.2) + 2.8) as figure:
        panels = figure.subplots(1, len(matrices), squeeze=False)[0]
        for n, (axes, (name, (rows, columns, values))) in enumerate(zip(panels, matrices.items(), strict=True)):
            heads = [short(topic, 34) for topic in columns]
            sides = [short(topic, 34) if n == 0 or not alike else "" for topic in rows]
            grid(axes, values, sides, heads, _texts(100 * values, "{:.0f}".format if legible else lambda _: ""))
            axes.set_xticks(range(len(heads)), heads, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_title(short(name))
        panels[0].set_ylabel("topic of the next sentence")
        figure.supxlabel("topic of the nearest candidate (cells: % of the row)", fontsize=9.5)
    return True


def _matrix(found: Confusion | None) -> tuple[list[str], list[str], Grid] | None:
    """Topics of the rows, of the columns, and shares (rows, columns); a topic that no target has is no row."""
    if found is None or not found.topics:
        return None
    values = np.array(found.matrix)
    shown = np.flatnonzero((values > 0).any(axis=1))
    return ([found.topics[row] for row in shown], found.topics, values[shown]) if len(shown) else None
