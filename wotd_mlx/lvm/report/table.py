"""The comparison as a table: models beside baselines, the best of each column marked, for a terminal or the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wotd_mlx.lvm.report.results import EXCLUSIONS, SPLITS, TOP, Place, Results

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MISSING = "–"
MEGABYTE = 1e6


@dataclass(frozen=True)
class Column:
    """One figure of every row.

    Args:
        title: heading, with the unit.
        meaning: a sentence on what it says.
        place: where :meth:`Results.number` finds it.
        better: ``high``, ``low``, or empty where neither is better.
        show: number -> text.
    """

    title: str
    meaning: str
    place: Place
    better: str
    show: Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """A figure as text and as a number to sort by, and whether it is the best of its column."""

    text: str = MISSING
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table; ``note`` says why it has no figures."""

    name: str
    baseline: bool
    cells: tuple[Cell, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A table: its title, one sentence on it, and its columns."""

    title: str
    about: str
    columns: tuple[Column, ...]
    baselines: bool = True


def share(value: float) -> str:
    """``0.4953`` -> ``.495``; a sign where it is negative."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def signed(value: float) -> str:
    """``-0.194`` -> ``−.194``, ``0.01`` -> ``+.010``."""
    return ("+" if value >= 0 else "−") + share(abs(value))


def count(value: float) -> str:
    """``5123456`` -> ``5.12 M``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{plain(value / size)}{unit}"
    return f"{value:.0f}" if value == round(value) else plain(value)


def megabytes(value: float) -> str:
    """Bytes as millions of them."""
    return plain(value / MEGABYTE)


def plain(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 99.5 else f"{value:#.3g}"


def _quality(split: str) -> tuple[Column, ...]:
    first = ("validation", split)
    return (
        Column(
            "Cosine",
            "mean cosine between the predicted vector and the next sentence's own",
            (*first, "cosine"),
            "high",
            share,
        ),
        Column(
            "Margin",
            "cosine with the next sentence minus cosine with the newest one: far below 0 for one that only copies",
            (*first, "margin"),
            "high",
            signed,
        ),
        Column(
            "MSE × 10³",
            "mean squared error a dimension, times a thousand",
            (*first, "mse"),
            "low",
            lambda v: f"{1e3 * v:.4f}",
        ),
        *_retrieval(split, "context"),
    )


def _retrieval(split: str, excluded: str) -> tuple[Column, ...]:
    place = ("retrieval", split, excluded)
    columns = [
        Column(
            f"Top-{key[3:]}",
            f"share of targets whose next sentence is among the {key[3:]} nearest candidates"
            if key != "top1"
            else "share of targets whose next sentence is the nearest candidate",
            (*place, key),
            "high",
            share,
        )
        for key in TOP
    ]
    mean = "mean of 1 / rank of the next sentence (mean reciprocal rank)"
    return (*columns, Column("MRR", mean, (*place, "mean_reciprocal_rank"), "high", share))


VALID, TEST, OOD = (
    Section(
        f"Quality on {SPLITS[split]}", f"Retrieval with {EXCLUSIONS['context']}, for every row alike.", _quality(split)
    )
    for split in SPLITS
)
NEWEST = Section(
    "Retrieval as older measurements counted it",
    f"On {SPLITS['valid']}, {EXCLUSIONS['newest5']}.",
    _retrieval("valid", "newest5"),
)
FIT = Section(
    "Fit",
    "Training targets are a sample. A close fit to them or a small gap is no merit alone, so neither is marked.",
    (
        Column("Train cosine", "mean cosine on training targets", ("validation", "train", "cosine"), "", share),
        Column("Valid cosine", "mean cosine on validation articles", ("validation", "valid", "cosine"), "high", share),
        Column(
            "Deviation",
            "standard deviation of the cosine over targets",
            ("validation", "valid", "deviation"),
            "",
            share,
        ),
        Column(
            "Gap × 10³",
            "validation MSE minus training MSE, times a thousand: what was learnt by heart",
            ("validation", "gap"),
            "",
            lambda v: ("+" if v >= 0 else "−") + f"{1e3 * abs(v):.4f}",
        ),
    ),
)
COST = Section(
    "Size, training and speed",
    "Baselines are left out: they are a few sums. Speed is of batch 1 unless it says otherwise.",
    (
        Column("Weights", "trained numbers", ("validation", "parameters"), "low", count),
        Column("File, MB", "size of best_model.safetensors", ("validation", "bytes"), "low", megabytes),
        Column("Epochs", "passes over the training articles", ("validation", "epochs"), "", count),
        Column("Best epoch", "the one whose weights were kept", ("validation", "best_epoch"), "", count),
        Column("Train, s", "seconds of training", ("validation", "seconds"), "low", plain),
        Column(
            "Training peak, MB",
            "most memory held while training",
            ("validation", "training_peak_bytes"),
            "low",
            megabytes,
        ),
        Column(
            "Latency p50, ms",
            "median time of a prediction from a whole context",
            ("inference", "latency_ms", "p50"),
            "low",
            plain,
        ),
        Column(
            "Latency p95, ms",
            "time that 95 % of predictions stay under",
            ("inference", "latency_ms", "p95"),
            "low",
            plain,
        ),
        Column("Step, ms", "time to read one more vector, the state kept", ("inference", "step_ms"), "low", plain),
        Column("Vectors/s", "predictions a second in batches of 64", ("inference", "throughput_per_s"), "high", plain),
        Column("Peak, MB", "most memory held while predicting", ("inference", "peak_bytes"), "low", megabytes),
    ),
    baselines=False,
)
SECTIONS = (VALID, TEST, OOD, NEWEST, FIT, COST)
SUMMARY = Section(
    VALID.title,
    VALID.about,
    (
        *(c for c in VALID.columns if not c.title.startswith(("MSE", "Top-10"))),
        COST.columns[0],
        COST.columns[4],
        COST.columns[6],
    ),
)
"""What a terminal shows: quality, and what it costs."""


def lines(results: Results, section: Section) -> list[Line]:
    """Baselines, evaluated models, and a note for each model of the matrix that has no figures.

    Empty where no row has a figure in any column.
    """
    names = [*(results.baselines if section.baselines else []), *results.models]
    table = [[results.number(name, *column.place) for column in section.columns] for name in names]
    if not any(value is not None for values in table for value in values):
        return []
    best = [_best([row[c] for row in table], column.better) for c, column in enumerate(section.columns)]
    found = []
    for name, values in zip(names, table, strict=True):
        cells = tuple(
            Cell() if value is None else Cell(column.show(value), value, value == winner)
            for value, column, winner in zip(values, section.columns, best, strict=True)
        )
        found.append(Line(name, name in results.baselines, cells))
    return [*found, *(Line(name, False, note=_why(results, name)) for name in results.missing)]


def _best(values: Sequence[float | None], better: str) -> float | None:
    known = [value for value in values if value is not None]
    # Of a single row nothing can be said.
    if not better or len(known) < 2:
        return None
    return max(known) if better == "high" else min(known)


def _why(results: Results, name: str) -> str:
    return "trained, not evaluated" if name in results.finished else "not trained"


def rich_table(results: Results, section: Section = SUMMARY) -> RichTable:
    """For ``rich.console.Console.print``; the best of each column in bold, baselines dimmed."""
    from rich.table import Table
    from rich.text import Text

    # Without lines between them, ten columns fit a terminal of 80.
    table = Table(
        title=f"{section.title}, context {results.context}",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for column in section.columns:
        table.add_column(column.title, justify="right")
    absent: dict[str, list[str]] = {}
    for line in lines(results, section):
        if not line.cells:
            absent.setdefault(line.note, []).append(line.name)
            continue
        # Text, so that square brackets in a name are no markup.
        name = Text(line.name, style="dim" if line.baseline else "")
        table.add_row(name, *(Text(cell.text, style="bold" if cell.best else "") for cell in line.cells))
    if absent:
        table.caption = Text("; ".join(f"{note}: {', '.join(names)}" for note, names in absent.items()))
    return table
