"""Votes as a JSON file: to keep, to take to another machine, to read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from wotd_mlx.io.json import read_json, write_json
from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.votes import Given, Store, Vote

VERSION = 1
_HINT = "give a file that `wotd-mlx profile export` wrote"


@dataclass(frozen=True)
class _File:
    version: int
    votes: tuple[Vote, ...] = ()
    given: tuple[Given, ...] = ()


def export_votes(store: Store, path: Path) -> tuple[int, int]:
    """Write a profile's votes and given words, whole or not at all; returns how many of each."""
    votes, given = store.votes(), store.given()
    write_json(path, {"version": VERSION, "votes": [asdict(v) for v in votes], "given": [asdict(g) for g in given]})
    return len(votes), len(given)


def import_votes(store: Store, path: Path) -> tuple[int, int]:
    """Add what a file has and the profile doesn't, all or nothing; returns how many votes and given words that were.

    Words that no vocabulary knows are kept: they count for nothing until one does.

    Raises:
        WotdError: the file is damaged, of another version, or one of its rows is no vote; nothing is added then.
    """
    found = read_json(path, _File, _HINT)
    if found.version != VERSION:
        raise WotdError(f"{path} is of version {found.version}, expected {VERSION}; {_HINT}")
    return store.merge(found.votes, found.given)
