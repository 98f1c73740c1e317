"""Votes to a file and back; a hostile file changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.exchange import export_votes, import_votes
from wotd_mlx.taste.sqlite import SqliteStore
from wotd_mlx.taste.votes import RATINGS, VOTES, Given, Vote
from wotd_mlx.words.normal import normal

AT, DAY = "2026-11-30T08:00:00+01:00", "2026-11-30"
ROW = {"word": "dew", "kind": "like", "at": AT, "day": DAY}
texts = st.text(min_size=1, max_size=40).map(normal).filter(lambda word: 0 < len(word) <= 200)
moments = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
days = st.dates().map(lambda day: day.isoformat())
votes = st.builds(Vote, texts, st.sampled_from((*VOTES, *RATINGS)), moments, days)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(had=st.lists(votes, max_size=6, unique=True))
def test_what_is_exported_comes_back(tmp_path_factory, had):
    folder = tmp_path_factory.mktemp("exchange")
    store, other = SqliteStore(folder / "a.sqlite"), SqliteStore(folder / "b.sqlite")
    store.add(had)
    given_then = [Given(vote.day, vote.word, vote.at) for vote in had]
    store.merge([], given_then)
    assert export_votes(store, folder / "v.json") == (len(had), len(set(given_then)))
    assert import_votes(other, folder / "v.json") == (len(had), len(set(given_then)))
    assert (other.votes(), set(other.given())) == (store.votes(), set(store.given()))
    assert import_votes(other, folder / "v.json") == (0, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "JSON"),
        ("[]", "expected"),
        ('{"version": 2}', "version 2"),
        ('{"version": 1, "vots": []}', "vots"),
        (json.dumps({"version": 1, "votes": [ROW, ROW | {"kind": "hate"}]}), r"votes\[1\]"),
        (json.dumps({"version": 1, "votes": [ROW | {"word": "x" * 10_000}]}), r"votes\[0\]"),
        (json.dumps({"version": 1, "votes": [ROW | {"word": 7}]}), "word"),
        (
            json.dumps({"version": 1, "votes": [ROW], "given": [{"day": "now", "word": "dew", "at": AT}]}),
            r"given\[0\]",
        ),
        ("[" * 100_000, "too deep"),
    ],
)
def test_a_hostile_file_is_refused_and_nothing_added(tmp_path: Path, content: str, told: str):
    store = SqliteStore(tmp_path / "p.sqlite")
    store.add([Vote("moor", "like", AT, DAY)])
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(WotdError, match=told):
        import_votes(store, tmp_path / "v.json")
    assert [vote.word for vote in store.votes()] == ["moor"]
    assert store.given() == []
