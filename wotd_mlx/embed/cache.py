"""Vectors that were computed before, in one SQLite file keyed by model and text."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.io.sqlite import connect, told_as, writing

_AT_ONCE = 500
"""Variables in one statement: SQLite's bound was 999 for long."""


class EmbeddingCache:
    """A SQLite file that threads and processes may use at once.

    Args:
        path: the file; its folder is made.
        ttl: seconds after which an entry is forgotten; None keeps it for good.
    Raises:
        WotdError: the file is there but is no cache of ours; it is left alone.
    """

    def __init__(self, path: Path, ttl: float | None = None):
        self.path, self.ttl = path, ttl
        self._lock = threading.Lock()
        with self._clear_errors("used"):
            self._db = connect(path, durable=False)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS vectors (model TEXT, text BLOB, vector BLOB NOT NULL, "
                "created REAL NOT NULL, PRIMARY KEY (model, text)) WITHOUT ROWID"
            )
            self._db.execute("SELECT model, text, vector, created FROM vectors LIMIT 1").fetchone()

    def get(self, model: str, texts: Sequence[str], dims: int) -> dict[str, NDArray[np.float32]]:
        """The vectors (D,) that are known for any of ``texts``, not older than the TTL, and ``dims`` wide."""
        oldest = 0.0 if self.ttl is None else time.time() - self.ttl
        found: dict[str, NDArray[np.float32]] = {}
        with self._clear_errors("read"), self._lock:
            for start in range(0, len(texts), _AT_ONCE):
                part = [_key(text) for text in texts[start : start + _AT_ONCE]]
                rows = self._db.execute(
                    "SELECT text, vector FROM vectors WHERE model = ? AND created >= ? "
                    f"AND length(vector) = ? AND text IN ({','.join('?' * len(part))})",
                    (model, oldest, 4 * dims, *part),
                )
                found |= {_text(key): np.frombuffer(blob, "<f4") for key, blob in rows}
        return found

    def put(self, model: str, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keep ``vectors`` (N, D) for ``texts`` (N,), all or none; drop what has passed its TTL."""
        now = time.time()
        rows = [
            (model, _key(text), np.ascontiguousarray(vector, "<f4").tobytes(), now)
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._clear_errors("written"), self._lock, writing(self._db):
            if self.ttl is not None:
                self._db.execute("DELETE FROM vectors WHERE created < ?", (now - self.ttl,))
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file; the cache can't be used after."""
        self._db.close()

    def _clear_errors(self, wanted: str) -> AbstractContextManager[None]:
        hint = "free space or move it away, and the vectors are computed anew"
        return told_as(f"the embedding cache {self.path} can't be {wanted}", hint)


def _key(text: str) -> bytes:
    # Bytes, since SQLite's text can hold neither a lone surrogate nor, everywhere, a NUL.
    return text.encode("utf-8", "surrogatepass")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
