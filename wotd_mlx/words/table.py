"""The two committed tables, as tab-separated text: one row a word, the evidence in named columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wotd_mlx.config import DEFAULT_ATTRIBUTES
from wotd_mlx.io.table import read_table as read_rows
from wotd_mlx.schemas import Word

ATTRIBUTES = tuple(attribute.name for attribute in DEFAULT_ATTRIBUTES)
HEAD = ("text", "corpus", *ATTRIBUTES, "source", "cefr", "zipf")
FIGURES = (
    "score", "count", "style_delta", "style_z", "style_works", "style_top_share", "era_delta", "era_z",
    "era_works", "era_top_share", "today_delta", "today_z", "verse_ratio", "verse_z",
)  # fmt: skip
BUILTIN_COLUMNS = (*HEAD, *FIGURES, "worth")
LEXICON_COLUMNS = ("text", "zipf", "cefr", *ATTRIBUTES, "style_z", "era_z", "verse_z", "worth")
_WHOLE = ("count", "style_works", "era_works")


def write_table(path: str | Path, words: Iterable[Word], columns: tuple[str, ...]) -> None:
    """Write words with these columns; an absent value is an empty cell."""
    lines = ["\t".join(columns)]
    for word in words:
        cells: dict[str, Any] = {**word.evidence, **word.labels, "text": word.text, "corpus": word.corpus}
        cells |= {"source": word.source, "cefr": word.cefr, "zipf": word.zipf, "worth": 1 if word.worth else None}
        lines.append("\t".join("" if cells.get(c) is None else str(cells[c]) for c in columns))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def read_table(path: str | Path) -> tuple[Word, ...]:
    """Read words from a table that :func:`write_table` wrote.

    Raises:
        MissingError: the file is missing: the installation is damaged.
        WotdError: a row doesn't fit its header.
    """
    table = read_rows(Path(path), "\t", ["text", "zipf", "cefr", *ATTRIBUTES], "reinstall wotd-mlx", quoted=False)
    figures = [c for c in table.columns if c in FIGURES]
    words = []
    shared: dict[tuple[str, ...], dict[str, str]] = {}
    for _, cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        values = tuple([row[a] for a in ATTRIBUTES])
        if values not in shared:
            shared[values] = {a: value for a, value in zip(ATTRIBUTES, values, strict=True) if value}
        words.append(
            Word(
                row["text"],
                shared[values],
                row.get("corpus", ""),
                row.get("source", ""),
                row["cefr"] or None,
                float(row["zipf"]),
                {c: int(row[c]) if c in _WHOLE else float(row[c]) for c in figures if row[c]},
                row["worth"] == "1" if "worth" in row else None,
            )
        )
    return tuple(words)
