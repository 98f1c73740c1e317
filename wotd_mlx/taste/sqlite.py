"""Votes in an SQLite file on this machine."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from wotd_mlx.io.sqlite import connect, told_as, writing
from wotd_mlx.taste.votes import Given, Vote, check_profile

log = logging.getLogger("wotd_mlx")

DATA_VARIABLE = "WOTD_MLX_DATA"
"""Names the folder of profiles, in place of the platform's own."""

MIGRATIONS = (
    """
    CREATE TABLE votes (
        number INTEGER PRIMARY KEY, word TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, day TEXT NOT NULL,
        undone INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE given (
        day TEXT NOT NULL, place INTEGER NOT NULL, word TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (day, place)
    ) WITHOUT ROWID;
    CREATE TABLE profile (seed INTEGER NOT NULL);
    """,
)
"""Statements that lead from each version of the file to the next; a file's own stands in its user_version."""


def profile_path(name: str = "default") -> Path:
    """The file of a profile, in the platform's folder for data or where :data:`DATA_VARIABLE` says."""
    from platformdirs import user_data_path

    folder = os.environ.get(DATA_VARIABLE)
    return (Path(folder) if folder else user_data_path("wotd-mlx", appauthor=False)) / f"{check_profile(name)}.sqlite"


class SqliteStore:
    """A profile in one file, which threads and processes may use at once.

    A file that is damaged, or of a newer version of this program, is put aside under another name, with a warning, and
    an empty one begun; it is never deleted. Before an older one is brought up to date a copy is made beside it.

    Args:
        path: the file; its folder is made.
        seed: of a new profile; None draws one.
    Raises:
        WotdError: it can't be opened or written.
    """

    def __init__(self, path: Path, seed: int | None = None):
        self.path = path
        self._lock = threading.Lock()
        with self._clear_errors("opened"):
            self._db = self._opened()
            self._migrate(secrets.randbits(32) if seed is None else seed)
            self.seed: int = self._db.execute("SELECT seed FROM profile").fetchone()[0]

    def add(self, votes: Sequence[Vote]) -> None:
        with self._writing():
            self._insert(votes)

    def undo(self) -> Vote | None:
        with self._writing():
            last = self._db.execute(
                "SELECT number, word, kind, at, day FROM votes WHERE NOT undone ORDER BY number DESC LIMIT 1"
            ).fetchone()
            if last is None:
                return None
            self._db.execute("UPDATE votes SET undone = 1 WHERE number = ?", last[:1])
        return Vote(*last[1:])

    def votes(self) -> list[Vote]:
        return [
            Vote(*row) for row in self._rows("SELECT word, kind, at, day FROM votes WHERE NOT undone ORDER BY number")
        ]

    def given(self, day: str | None = None) -> list[Given]:
        if day is None:
            return [Given(*row) for row in self._rows("SELECT day, word, at FROM given ORDER BY day, place")]
        return [Given(*row) for row in self._rows("SELECT day, word, at FROM given WHERE day = ? ORDER BY place", day)]

    def give(self, day: str, after: int, given: Sequence[Given]) -> list[Given]:
        with self._writing():
            (there,) = self._db.execute("SELECT count(*) FROM given WHERE day = ?", (day,)).fetchone()
            if there == after:
                self._append(given)
        return self.given(day)

    def merge(self, votes: Sequence[Vote], given: Sequence[Given]) -> tuple[int, int]:
        with self._writing():
            old = {Vote(*row) for row in self._db.execute("SELECT word, kind, at, day FROM votes")}
            had = {Given(*row) for row in self._db.execute("SELECT day, word, at FROM given")}
            fresh = [vote for vote in dict.fromkeys(votes) if vote not in old]
            more = [one for one in dict.fromkeys(given) if one not in had]
            self._insert(fresh)
            self._append(more)
        return len(fresh), len(more)

    def close(self) -> None:
        self._db.close()

    def _insert(self, votes: Sequence[Vote]) -> None:
        self._db.executemany(
            "INSERT INTO votes (word, kind, at, day) VALUES (?, ?, ?, ?)",
            [(vote.word, vote.kind, vote.at, vote.day) for vote in votes],
        )

    def _append(self, given: Sequence[Given]) -> None:
        for one in given:
            self._db.execute(
                "INSERT INTO given SELECT ?, count(*), ?, ? FROM given WHERE day = ?",
                (one.day, one.word, one.at, one.day),
            )

    def _rows(self, statement: str, *values: str) -> list[tuple[str, ...]]:
        with self._clear_errors("read"), self._lock:
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._clear_errors("written"), self._lock, writing(self._db):
            yield

    # --- opening ---

    def _opened(self) -> sqlite3.Connection:
        try:
            db = connect(self.path, durable=True)
            try:
                told = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                version = _version(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.DatabaseError as error:
            # Busy, full or not allowed: the file may be whole.
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise
            return self._afresh("damaged", str(error))
        if told != "ok":
            db.close()
            return self._afresh("damaged", told)
        if version > len(MIGRATIONS):
            db.close()
            return self._afresh("newer", f"version {version}, where this program knows {len(MIGRATIONS)}")
        return db

    def _afresh(self, why: str, told: str) -> sqlite3.Connection:
        aside = self.path.with_name(f"{self.path.name}.{why}-{time.time_ns()}")
        # The log of what isn't in the file yet goes with it.
        for ending in ("", "-wal", "-shm"):
            beside = self.path.with_name(self.path.name + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))
        log.warning("%s is %s (%s); it is kept as %s, and an empty profile begun", self.path, why, told, aside.name)
        return connect(self.path, durable=True)

    def _migrate(self, seed: int) -> None:
        if _version(self._db) == len(MIGRATIONS):
            return
        if version := _version(self._db):
            self._back_up(version)
        with writing(self._db):  # another process may have done it while this one waited
            for number in range(_version(self._db), len(MIGRATIONS)):
                for statement in filter(str.strip, MIGRATIONS[number].split(";")):
                    self._db.execute(statement)
                if number == 0:
                    self._db.execute("INSERT INTO profile VALUES (?)", (seed,))
                self._db.execute(f"PRAGMA user_version = {number + 1}")

    def _back_up(self, version: int) -> None:
        copy = self.path.with_name(f"{self.path.name}.v{version}-{time.time_ns()}")
        other = sqlite3.connect(copy)
        try:
            self._db.backup(other)
        finally:
            other.close()
        log.warning("%s is brought up to date; as it was it is kept as %s", self.path, copy.name)

    def _clear_errors(self, wanted: str) -> AbstractContextManager[None]:
        hint = "free space, or let this user write there"
        return told_as(f"the profile {self.path} can't be {wanted}", hint)


def _version(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found
