"""SQLite files that several processes use at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wotd_mlx.schemas import WotdError

WAIT = 60
"""Seconds in which another process's write is waited for."""


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open a file in write-ahead mode, so that readers go on while one writes; its folder is made.

    Transactions are begun by hand, see :func:`writing`.

    Args:
        durable: what is committed also outlives a loss of power; False where it can be computed again.
    Raises:
        sqlite3.Error: the file is no database, or is busy for longer than :data:`WAIT`.
        OSError: the folder can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        db.execute(f"PRAGMA busy_timeout={1000 * WAIT}")
        _go_over_to_wal(db)
        db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """What is done inside is written whole or not at all, and no other process writes meanwhile."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def told_as(what: str, hint: str) -> Iterator[None]:
    """Tell what goes wrong inside in one line.

    Raises:
        WotdError: ``what``, such as ``the cache c.sqlite can't be read``, why, and what to do.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise WotdError(f"{what}: {error}; {hint}") from error


def _go_over_to_wal(db: sqlite3.Connection) -> None:
    """SQLite doesn't wait here, whatever the timeout, for who opens or closes the file at the same moment."""
    until = time.monotonic() + WAIT
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)
