"""What the pages that are made from benchmarks/results share: reading them, Markdown tables, filling a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS

ROOT = Path(__file__).parents[1]


def results(name: str) -> Any:
    """What ``benchmarks.NAME`` wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Markdown; columns after the first ``left`` are aligned to the right."""
    rule = ["---" if n < left else "---:" for n in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def share(value: float) -> str:
    """.123 or −.123, as the literature writes cosines."""
    return f"{value:.3f}".replace("-", "−").replace("0.", ".", 1)


def filled(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The page with each table, which stands between ``<!-- NAME -->`` and ``<!-- end -->``, made anew."""
    for name, make in tables.items():
        start, end = page.index(f"<!-- {name} -->\n"), page.index("<!-- end -->", page.index(f"<!-- {name} -->"))
        page = f"{page[:start]}<!-- {name} -->\n{make()}\n{page[end:]}"
    return page
