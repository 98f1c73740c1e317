"""A bar for work that takes longer than two seconds; plain lines where there is no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

log = logging.getLogger("wotd_mlx")

_QUIET_SECONDS = 2.0
_SECONDS_A_LINE = 5.0


class Advance(Protocol):
    """Say that ``n`` more are done."""

    def __call__(self, n: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Yields ``advance(n, note)``; shows nothing in the first two seconds.

    On a terminal a bar on stderr; elsewhere a line through the log every five seconds. The note, such as the loss so
    far, stands behind the label.
    """
    with (_bar if sys.stderr.isatty() else _lines)(label, total) as advance:
        yield advance


@contextmanager
def _bar(label: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task, started = bar.add_task(label, total=total), time.monotonic()

    def advance(n: int, note: str = "") -> None:
        bar.update(task, advance=n, description=f"{label} {note}".rstrip())
        if not bar.live.is_started and time.monotonic() - started > _QUIET_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _lines(label: str, total: int) -> Iterator[Advance]:
    done, said = 0, time.monotonic() - _SECONDS_A_LINE + _QUIET_SECONDS

    def advance(n: int, note: str = "") -> None:
        nonlocal done, said
        done += n
        if time.monotonic() - said >= _SECONDS_A_LINE:
            said = time.monotonic()
            share = 100 * done / max(total, 1)
            log.info("%s: %s of %s (%.0f %%)%s", label, f"{done:,}", f"{total:,}", share, note and f"; {note}")

    yield advance
