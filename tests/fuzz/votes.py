"""Votes as JSON, with odd values or damaged bytes: what is taken can be read, exported and imported again."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import damaged, number, text
from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.exchange import export_votes, import_votes
from wotd_mlx.taste.sqlite import SqliteStore

documented = (WotdError,)
quick = 200

ODD: list[Any] = [None, True, [], {}, "", "\x00", "\ud800", "9999-12-31", "2026-11-30T08:00:00Z", "1e999", -1, 1e308]


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-votes-"))


def _whole() -> dict[str, Any]:
    at = "2026-11-30T08:00:00+01:00"
    votes = [
        {"word": word, "kind": kind, "at": at, "day": at[:10]} for word, kind in (("dew", "like"), ("fen", "know"))
    ]
    return {"version": 1, "votes": votes, "given": [{"day": at[:10], "word": "dew", "at": at}]}


def make(rng: random.Random) -> bytes:
    """An export with some values, keys or rows replaced by odd ones, or its bytes damaged."""
    whole = _whole()
    for _ in range(rng.choice([1, 1, 2, 3])):
        odd = rng.choice([*ODD, text(rng), number(rng, signed=True), "x" * rng.choice([199, 200, 201, 10_000])])
        row: dict[str, Any] = rng.choice([whole, *whole["votes"], *whole["given"]]) if _rows(whole) else whole
        key = rng.choice(sorted(row))
        match rng.randrange(4):
            case 0 | 1:
                row[key] = odd
            case 2:
                del row[key]
            case _:
                row[str(odd)[:300]] = row[key]
        if not row:
            break
    stored = json.dumps(whole).encode()
    return damaged(rng, stored) if rng.random() < 0.3 else stored


def _rows(whole: dict[str, Any]) -> bool:
    parts = [whole.get("votes"), whole.get("given")]
    return all(isinstance(part, list) and all(isinstance(row, dict) and row for row in part) for part in parts)


def read(made: bytes) -> None:
    """Import into an empty profile; what was taken comes through an export unchanged."""
    file = _folder() / "votes.json"
    file.write_bytes(made)
    for old in _folder().glob("*.sqlite*"):
        old.unlink()
    store, again = SqliteStore(_folder() / "a.sqlite"), SqliteStore(_folder() / "b.sqlite")
    try:
        import_votes(store, file)
        export_votes(store, file)
        import_votes(again, file)
        assert (again.votes(), again.given()) == (store.votes(), store.given())
    finally:
        store.close()
        again.close()
