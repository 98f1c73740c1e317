"""A bar for work that takes longer than two seconds; plain lines where there is no terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("wotd_mlx")

_QUIET_SECONDS = 2.0
_SECONDS_A_LINE = 5.0


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields ``advance(n)``; shows nothing in the first two seconds.

    On a terminal a bar on stderr; elsewhere a line through the log every five seconds.
    """
    with (_bar if sys.stderr.isatty() else _lines)(label, total) as advance:
        yield advance


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task, started = bar.add_task(label, total=total), time.monotonic()

    def advance(n: int) -> None:
        bar.advance(task, n)
        if not bar.live.is_started and time.monotonic() - started > _QUIET_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def _lines(label: str, total: int) -> Iterator[Callable[[int], None]]:
    done, said = 0, time.monotonic() - _SECONDS_A_LINE + _QUIET_SECONDS

    def advance(n: int) -> None:
        nonlocal done, said
        done += n
        if time.monotonic() - said >= _SECONDS_A_LINE:
            said = time.monotonic()
            log.info("%s: %s of %s (%.0f %%)", label, f"{done:,}", f"{total:,}", 100 * done / max(total, 1))

    yield advance
