"""The cache forgets on time, is shared by processes, and keeps what it had when something fails."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.schemas import WotdError

VECTORS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
TEXTS = ["one", "zwei \ud83d", "drei\x00\n"]


def filled(path, ttl=None) -> EmbeddingCache:
    cache = EmbeddingCache(path, ttl)
    cache.put("model", TEXTS, VECTORS)
    return cache


def test_what_was_put_is_got_again(tmp_path):
    filled(tmp_path / "sub/c.sqlite").close()
    found = EmbeddingCache(tmp_path / "sub/c.sqlite").get("model", [*TEXTS, "other"], 5)
    assert found.keys() == set(TEXTS)
    close(np.stack([found[text] for text in TEXTS]), VECTORS, "exact")


def test_models_and_widths_are_apart(tmp_path):
    cache = filled(tmp_path / "c.sqlite")
    assert cache.get("other", TEXTS, 5) == {}
    assert cache.get("model", TEXTS, 4) == {}


def test_more_texts_than_one_statement_takes(tmp_path):
    cache = EmbeddingCache(tmp_path / "c.sqlite")
    texts = [str(i) for i in range(2345)]
    cache.put("model", texts, np.arange(2345, dtype=np.float32)[:, None])
    found = cache.get("model", texts, 1)
    assert [found[text][0] for text in texts] == list(range(2345))


def test_an_entry_is_forgotten_after_its_time(tmp_path, monkeypatch):
    cache = filled(tmp_path / "c.sqlite", ttl=60)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 59)
    assert len(cache.get("model", TEXTS, 5)) == 3
    monkeypatch.setattr(time, "time", lambda: now + 120)
    assert cache.get("model", TEXTS, 5) == {}
    cache.put("model", ["new"], VECTORS[:1])
    assert sqlite3.connect(cache.path).execute("SELECT count(*) FROM vectors").fetchone() == (1,)
    assert EmbeddingCache(cache.path).get("model", ["new"], 5).keys() == {"new"}


@pytest.mark.parametrize(
    "content", [b"not a database at all, but longer than a header " * 20, b"SQLite format 3\0" + b"\7" * 4096]
)
def test_a_file_that_is_no_cache_is_refused_and_left_alone(tmp_path, content):
    file = tmp_path / "c.sqlite"
    file.write_bytes(content)
    with pytest.raises(WotdError, match=r"c\.sqlite can't be used") as error:
        EmbeddingCache(file)
    assert "\n" not in str(error.value)
    assert file.read_bytes() == content


def test_a_database_of_something_else_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "c.sqlite") as db:
        db.execute("CREATE TABLE vectors (x, y)")
    with pytest.raises(WotdError, match="no such column"):
        EmbeddingCache(tmp_path / "c.sqlite")


def test_damage_inside_is_one_clear_line(tmp_path):
    file = tmp_path / "c.sqlite"
    cache = EmbeddingCache(file)
    cache.put("model", [str(i) for i in range(500)], np.ones((500, 64), np.float32))
    cache.close()
    content = bytearray(file.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    file.write_bytes(content)
    with pytest.raises(WotdError, match=r"c\.sqlite can't be (used|read): .* malformed"):
        EmbeddingCache(file).get("model", [str(i) for i in range(500)], 64)


def test_a_full_disk_leaves_what_was_there(tmp_path):
    cache = filled(tmp_path / "c.sqlite")
    # SQLite itself reports a full disk once the file may not grow.
    pages = cache._db.execute("PRAGMA page_count").fetchone()[0]
    cache._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(WotdError, match="full"):
        cache.put("model", [f"text {i}" for i in range(5000)], np.ones((5000, 5), np.float32))
    assert cache.get("model", [f"text {i}" for i in range(5000)], 5) == {}
    found = cache.get("model", TEXTS, 5)
    close(np.stack([found[text] for text in TEXTS]), VECTORS, "exact")
    cache._db.execute("PRAGMA max_page_count=100000")
    cache.put("model", ["after"], VECTORS[:1])
    assert len(EmbeddingCache(cache.path).get("model", [*TEXTS, "after"], 5)) == 4


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WotdError, match="can't be used"):
        EmbeddingCache(tmp_path / "file/c.sqlite")


def test_opening_and_closing_at_once(tmp_path):
    """SQLite says at once that the file is locked where one opens what another closes: some in a thousand times."""
    errors = []

    def use(file: Path, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            for i in range(12):
                cache = EmbeddingCache(file)
                cache.put("model", [str(i)], np.ones((1, 4), np.float32))
                cache.close()
        except WotdError as error:
            errors.append(error)

    for turn in range(40):
        ready = threading.Barrier(8)
        users = [threading.Thread(target=use, args=(tmp_path / f"{turn}.sqlite", ready)) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join()
    assert errors == []


WRITER = """
import sys, numpy as np
from pathlib import Path
from wotd_mlx.embed.cache import EmbeddingCache
cache, start = EmbeddingCache(Path(sys.argv[1])), int(sys.argv[2])
for i in range(start, start + 200):
    cache.put("model", [str(i), "shared"], np.full((2, 8), i, np.float32))
    assert cache.get("model", [str(i)], 8)[str(i)][0] == i
"""


def test_processes_write_at_once(tmp_path):
    file = tmp_path / "c.sqlite"
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(200 * n)]) for n in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    found = EmbeddingCache(file).get("model", [str(i) for i in range(600)], 8)
    assert [found[str(i)][0] for i in range(600)] == list(range(600))
