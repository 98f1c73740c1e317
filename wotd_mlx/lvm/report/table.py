"""The comparison as tables: models beside baselines, the best of each column marked, for a terminal or the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from wotd_mlx.lvm.report.results import EXCLUSIONS, SPLITS, TOP, Results

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MISSING = "–"


@dataclass(frozen=True)
class Column:
    """One figure of every row.

    Args:
        title: heading, with the unit.
        path: where :meth:`Results.number` finds it.
        meaning: what it says.
        better: which end is good; empty where neither is.
        scale: what the figure is multiplied by before it is shown.
        digits: Python's format of it.
    """

    title: str
    path: str
    meaning: str
    better: Literal["high", "low", ""] = "high"
    scale: float = 1
    digits: str = ".3f"

    def show(self, value: float) -> str:
        return MISSING if math.isnan(value) else f"{value * self.scale:{self.digits}}".replace("-", "−")


class Cell(NamedTuple):
    """A figure as text, and whether it is the best of its column."""

    text: str
    best: bool = False


class TableRow(NamedTuple):
    """The figures of a baseline or a model."""

    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class Section:
    """A table: its title, one sentence on it, and its columns."""

    title: str
    about: str
    columns: tuple[Column, ...]
    baselines: bool = True


def _quality(split: str) -> Section:
    path, ranks = f"validation.{split}", f"retrieval.{split}.context"
    columns = (
        Column("Cosine", f"{path}.cosine", "mean cosine of the predicted and the next sentence's embedding"),
        Column("Margin", f"{path}.margin", "cosine with the next sentence minus cosine with the newest", digits="+.3f"),
        Column("MSE × 10³", f"{path}.mse", "mean squared error a dimension, times 1,000", "low", 1e3),
        *(Column(f"Top-{k}", f"{ranks}.top{k}", f"share of targets among the {k} nearest candidates") for k in TOP),
        Column("MRR", f"{ranks}.mean_reciprocal_rank", "mean of 1 / rank of the next sentence"),
    )
    return Section(f"Quality on {SPLITS[split]}", f"Retrieval with {EXCLUSIONS['context']}.", columns)


VALID, TEST, OOD = map(_quality, SPLITS)
FIT = Section(
    "Fit",
    "Training targets are a sample. A close fit to them or a small gap is no merit alone, so neither is marked.",
    (
        Column("Train cosine", "validation.train.cosine", "mean cosine on training targets", ""),
        Column("Valid cosine", "validation.valid.cosine", "mean cosine on validation targets"),
        Column("Deviation", "validation.valid.deviation", "standard deviation of the cosine over targets", ""),
        Column("Gap × 10³", "validation.gap", "validation MSE minus training MSE, times 1,000", "", 1e3, "+.4f"),
    ),
)
SIZE = Column("Weights, M", "validation.parameters", "parameters, millions", "low", 1e-6, ",.2f")
SECONDS = Column("Train, s", "validation.seconds", "training, seconds", "low", 1, ",.0f")
LATENCY = Column("p50, ms", "benchmarks.latency_ms.p50", "median time of a prediction of batch 1, ms", "low", 1, ",.2f")
COST = Section(
    "Size, training and speed",
    "Baselines are left out: they are a few sums.",
    (
        SIZE,
        Column("File, MB", "validation.bytes", "size of best_model.safetensors", "low", 1e-6, ",.1f"),
        Column("Epochs", "validation.epochs", "passes over the training articles", "", 1, ".0f"),
        Column("Best epoch", "validation.best_epoch", "the epoch whose weights were kept", "", 1, ".0f"),
        SECONDS,
        Column("Train peak, MB", "validation.training_peak_bytes", "peak memory of training", "low", 1e-6, ",.0f"),
        LATENCY,
        Column("p95, ms", "benchmarks.latency_ms.p95", "95th percentile of the same", "low", 1, ",.2f"),
        Column("Step, ms", "benchmarks.step_ms", "time to read one more embedding, its state kept", "low", 1, ",.2f"),
        Column(
            "Embeddings/s", "benchmarks.throughput_per_s", "predictions a second in batches of 64", "high", 1, ",.0f"
        ),
        Column("Peak, MB", "benchmarks.peak_bytes", "peak memory of prediction", "low", 1e-6, ",.0f"),
    ),
    baselines=False,
)
SECTIONS = (VALID, TEST, OOD, FIT, COST)
_LEFT_OUT = ("MSE × 10³", "Top-10")
SUMMARY = Section(
    VALID.title, VALID.about, (*(c for c in VALID.columns if c.title not in _LEFT_OUT), SIZE, SECONDS, LATENCY)
)
"""What a terminal shows: quality, and what it costs."""


def table_rows(results: Results, section: Section) -> list[TableRow]:
    """Baselines, then models; nothing where no row has a figure in any column."""
    names = [*(results.baselines if section.baselines else []), *results.models]
    values = [[results.number(name, column.path) for column in section.columns] for name in names]
    if all(math.isnan(value) for row in values for value in row):
        return []
    best = [_best(column.better, [row[c] for row in values]) for c, column in enumerate(section.columns)]
    rows = []
    for name, row in zip(names, values, strict=True):
        shown = zip(section.columns, row, best, strict=True)
        rows.append(TableRow(name, [Cell(column.show(v), v == top) for column, v, top in shown]))
    return rows


def _best(better: str, values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    # Of a single row nothing can be said.
    if not better or len(known) < 2:
        return None
    return max(known) if better == "high" else min(known)


def rich_table(results: Results, section: Section = SUMMARY) -> RichTable:
    """For ``rich.console.Console.print``; the best of each column in bold, baselines dimmed."""
    from rich.table import Table
    from rich.text import Text

    # Without lines between them, ten columns fit a terminal of 80.
    title = f"{section.title}, context {results.validation.context}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in section.columns:
        table.add_column(column.title, justify="right")
    for row in table_rows(results, section):
        # Text, so that square brackets in a name are no markup.
        name = Text(row.name, style="dim" if row.name in results.baselines else "")
        table.add_row(name, *(Text(cell.text, style="bold" if cell.best else "") for cell in row.cells))
    table.caption = Text(results.missing)
    return table
