"""Votes are never lost: killed processes, several at once, damaged and newer files, a full disk, older files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wotd_mlx.schemas import WotdError
from wotd_mlx.taste import sqlite
from wotd_mlx.taste.sqlite import DATA_VARIABLE, MIGRATIONS, SqliteStore, profile_path
from wotd_mlx.taste.votes import Given, Vote

AT, DAY = "2026-11-30T08:00:00+01:00", "2026-11-30"


def vote(word: str, kind: str = "like") -> Vote:
    return Vote(word, kind, AT, DAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "p.sqlite"


def test_votes_come_back_in_order_and_the_last_is_taken_back(path):
    store = SqliteStore(path)
    store.add([vote("dew"), vote("moor", "dislike")])
    store.add([vote("dew", "know")])
    assert store.undo() == vote("dew", "know")
    store.close()
    again = SqliteStore(path)
    assert again.votes() == [vote("dew"), vote("moor", "dislike")]
    assert [again.undo(), again.undo(), again.undo()] == [vote("moor", "dislike"), vote("dew"), None]
    assert again.votes() == []


def test_who_gives_a_days_words_first_wins(path):
    mine, other = SqliteStore(path), SqliteStore(path)
    assert mine.give(DAY, 0, [Given(DAY, "dew", AT)]) == [Given(DAY, "dew", AT)]
    assert other.give(DAY, 0, [Given(DAY, "moor", AT)]) == [Given(DAY, "dew", AT)]
    assert other.give(DAY, 1, [Given(DAY, "moor", AT)]) == [Given(DAY, "dew", AT), Given(DAY, "moor", AT)]
    assert mine.given("2026-12-01") == []
    assert [one.word for one in mine.given()] == ["dew", "moor"]
    assert mine.seed == other.seed
    assert SqliteStore(path.with_name("q.sqlite"), seed=7).seed == 7
    assert SqliteStore(path.with_name("q.sqlite"), seed=8).seed == 7  # drawn once


def test_merging_adds_only_what_is_new(path):
    store = SqliteStore(path)
    store.add([vote("dew")])
    votes, given = [vote("dew"), vote("moor"), vote("moor")], [Given(DAY, "dew", AT)]
    assert store.merge(votes, given) == (1, 1)
    assert store.merge(votes, given) == (0, 0)
    assert store.votes() == [vote("dew"), vote("moor")]


def test_a_vote_that_was_taken_back_does_not_return_with_an_import(path):
    store = SqliteStore(path)
    store.add([vote("dew")])
    store.undo()
    assert store.merge([vote("dew")], []) == (0, 0)


_VOTER = """
import sys
from pathlib import Path
from wotd_mlx.taste.sqlite import SqliteStore
from wotd_mlx.taste.votes import Vote
store = SqliteStore(Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    store.add([Vote(f"{sys.argv[2]}{n}", "like", "2026-11-30T08:00:00+01:00", "2026-11-30")])
    print(f"{sys.argv[2]}{n}", flush=True)
"""


def voter(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _VOTER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_kill_9_loses_no_vote_that_was_acknowledged(path):
    acknowledged: list[str] = []
    for number in range(6):
        process = voter(path, chr(97 + number), 1000)
        assert process.stdout is not None
        # Killed in the midst of writing: after the first vote, then a little later each time.
        acknowledged.append(process.stdout.readline().strip())
        time.sleep(0.02 * number)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
    kept = [vote.word for vote in SqliteStore(path).votes()]
    assert set(acknowledged) <= set(kept)
    # At most the one that was being written when it died is there beside those.
    assert len(kept) <= len(acknowledged) + 6
    assert len(acknowledged) < 6 * 1000


def test_eight_voters_at_once_lose_nothing(path):
    voters = [voter(path, chr(97 + n), 40) for n in range(8)]
    assert [process.wait() for process in voters] == [0] * 8
    words = [vote.word for vote in SqliteStore(path).votes()]
    assert sorted(words) == sorted(f"{chr(97 + n)}{m}" for n in range(8) for m in range(40))
    for n in range(8):  # each one's own are in order
        assert [word for word in words if word[0] == chr(97 + n)] == [f"{chr(97 + n)}{m}" for m in range(40)]


@pytest.mark.parametrize(
    "damage", [lambda raw: b"no database at all", lambda raw: raw[:100] + b"\xff" * (len(raw) - 100)]
)
def test_a_damaged_file_is_put_aside_and_kept(path, damage, caplog):
    SqliteStore(path).close()
    raw = damage(path.read_bytes())
    path.write_bytes(raw)
    store = SqliteStore(path)
    assert store.votes() == []
    store.add([vote("dew")])
    (aside,) = path.parent.glob("p.sqlite.damaged-*")
    assert aside.read_bytes() == raw
    assert aside.name in caplog.text


def test_a_newer_file_is_put_aside_and_kept(path, caplog):
    store = SqliteStore(path)
    store.add([vote("dew")])
    store._db.execute("PRAGMA user_version = 99")
    store.close()
    assert SqliteStore(path).votes() == []
    (aside,) = (p for p in path.parent.glob("p.sqlite.newer-*") if not p.name.endswith(("-wal", "-shm")))
    assert "version 99" in caplog.text
    assert sqlite3.connect(aside).execute("SELECT word FROM votes").fetchall() == [("dew",)]


def test_an_older_file_is_copied_and_brought_up_to_date(path, monkeypatch):
    before = SqliteStore(path)
    before.add([vote("dew")])
    seed = before.seed
    before.close()
    monkeypatch.setattr(sqlite, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE votes ADD COLUMN note TEXT DEFAULT 'n'"))
    store = SqliteStore(path)
    assert (store.votes(), store.seed) == ([vote("dew")], seed)
    assert store._db.execute("SELECT note FROM votes").fetchall() == [("n",)]
    (copy,) = path.parent.glob("p.sqlite.v1-*")
    assert sqlite3.connect(copy).execute("SELECT word FROM votes").fetchall() == [("dew",)]
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(copy).execute("SELECT note FROM votes")


def test_a_full_disk_is_told_and_loses_nothing(path):
    store = SqliteStore(path)
    store.add([vote("dew")])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(WotdError, match="can't be written"):
        store.add([vote(f"{n}") for n in range(2000)])
    assert store.votes() == [vote("dew")]


def test_profiles_have_files_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert profile_path("ada") == tmp_path / "ada.sqlite"
    monkeypatch.delenv(DATA_VARIABLE)
    assert profile_path().name == "default.sqlite"
    for bad in ("", "a/b", "..", "a" * 41, "é"):
        with pytest.raises(WotdError, match="profile"):
            profile_path(bad)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"word": "Dew"}, "normal form"),
        ({"word": ""}, "normal form"),
        ({"word": "x" * 201}, "normal form"),
        ({"kind": "love"}, "kind"),
        ({"at": "yesterday"}, "no time"),
        ({"at": "2026-11-30T08:00:00"}, "no time"),
        ({"day": "20261130"}, "no day"),
        ({"day": "2026-02-30"}, "no day"),
    ],
)
def test_what_is_no_vote_is_refused(change, told):
    with pytest.raises(WotdError, match=told):
        Vote(**{"word": "dew", "kind": "like", "at": AT, "day": DAY} | change)
