"""The daily word on the command line: what is printed, what is kept, and what bad input does."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.known_tables import small_table
from wotd_mlx.cli import main
from wotd_mlx.daily import clock
from wotd_mlx.taste.sqlite import DATA_VARIABLE
from wotd_mlx.vocabulary import SHIPPED, Vocabulary

WORDS = ("dew", "moor", "rill", "tarn", "vale", "beck", "fen", "glen", "heath", "knoll", "lea", "mere")
NOON = datetime(2026, 11, 30, 12, tzinfo=ZoneInfo("Europe/Berlin"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def rows(*arguments: str) -> list[dict]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def error(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr


class Clock:
    """A clock that is set by hand; each question takes it a second."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture(autouse=True)
def hands(monkeypatch, tmp_path) -> Clock:
    found = Clock()
    monkeypatch.setattr(clock, "now", found)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "profiles"))
    hard = np.full(len(WORDS), 2, np.int8)
    known = small_table(words=WORDS, width=12, meet=np.ones(len(WORDS), bool), difficulty=hard)
    words = Vocabulary(known, "the small table")
    words.__dict__["dictionary"] = None
    monkeypatch.setattr(Vocabulary, "open", classmethod(lambda cls, run=None: words))
    return found


def test_a_day_of_a_person(hands):
    (first,) = rows("today")
    assert (first["date"], first["word"] in WORDS) == ("2026-11-30", True)
    assert {"date", "word", "id", "labels", "gloss", "why", "example"} <= set(first)
    assert rows("like") == [{"word": first["word"], "vote": "like"}]
    assert rows("today") == [first]
    (second,) = rows("skip")
    assert second["word"] != first["word"]
    assert rows("today") == [second]
    assert rows("undo")[0] | {"at": ""} == {"word": first["word"], "vote": "skip", "at": ""}
    assert rows("today") == [first]
    hands.time += timedelta(days=1)
    (tomorrow,) = rows("today")
    assert (tomorrow["date"], tomorrow["word"] != first["word"]) == ("2026-12-01", True)
    assert [(row["date"], row["word"], row["votes"]) for row in rows("history")] == [
        ("2026-11-30", first["word"], ["like"]),
        ("2026-11-30", second["word"], []),
        ("2026-12-01", tomorrow["word"], []),
    ]


def test_many_votes_and_words_of_ones_own(hands):
    assert rows("like", "dew", "Moor ", "DEW") == [{"word": "dew", "vote": "like"}, {"word": "moor", "vote": "like"}]
    rows("dislike", "fen")
    rows("know", "glen", "lea")
    (found,) = rows("profile")
    assert found["votes"] == {"like": 2, "dislike": 1, "skip": 0, "know": 2}
    assert found["liked"] == ["moor", "dew"]
    assert not set(found["likely"]) & {"dew", "moor", "fen"}
    assert sum(found["rests_on"].values()) == pytest.approx(1, abs=0.01)
    assert {row["word"] for row in rows("today", "--count", "3")} <= set(WORDS) - {"dew", "moor", "fen", "glen", "lea"}


def test_profiles_know_nothing_of_each_other(hands):
    rows("like", "dew", "--profile", "ada")
    assert rows("history") == []
    assert rows("history", "--profile", "ada")[0]["word"] == "dew"


def test_another_day_is_stored_too(hands):
    (found,) = rows("today", "--date", "2026-12-24")
    rows("like", *[word for word in WORDS[:3] if word != found["word"]])
    assert rows("today", "--date", "2026-12-24")[0]["word"] == found["word"]


def test_votes_go_to_a_file_and_back(hands, tmp_path):
    rows("like", "dew")
    rows("today")
    file = str(tmp_path / "v.json")
    assert run("profile", "export", file).stdout == f"{file}: 1 votes, 1 words that were given\n"
    assert run("profile", "--profile", "b", "import", file).exit_code == 0
    assert rows("history", "--profile", "b") == rows("history")


def test_a_review_on_a_script(hands):
    word = rows("today")[0]["word"]
    assert rows("review") == []
    hands.time += timedelta(days=1)
    assert [row["word"] for row in rows("review")] == [word]
    assert run("review", word, "good").exit_code == 0
    assert rows("review") == []
    assert run("review", word).exit_code == 2


@pytest.mark.parametrize("ending", ["xml", "ics", "tsv", "apkg"])
def test_feeds_are_files(hands, tmp_path, ending):
    file = tmp_path / f"w.{ending}"
    assert rows("feed", "--out", str(file))[0]["words"] == 1
    begins = {"xml": b"<?xml", "ics": b"BEGIN:VCALENDAR", "tsv": b"#separator", "apkg": b"PK"}
    assert file.read_bytes().startswith(begins[ending])


def test_a_feed_goes_to_stdout_too(hands):
    assert run("feed").stdout_bytes.startswith(b"<?xml")
    assert "apkg wants a file" in error("feed", "--format", "apkg")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("like", "morr"), "did you mean moor"),
        (("like", "dew", "xyzzyq"), "is none of the small table"),
        (("like", "🎉"), "is none of"),
        (("like", "x" * 10_000), "is none of"),
        (("like", " "), "is none of"),
        (("undo",), "no vote to take back"),
        (("today", "--date", "tomorrow"), "is no day"),
        (("today", "--profile", "../x"), "profile '../x' is not possible"),
        (("profile", "import", "nothing.json"), "no file nothing.json"),
        (("schedule", "--at", "25:00"), "no time of day"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(hands, arguments, told):
    assert told in error(*arguments)
    assert rows("history") == []


def test_what_is_left_is_given_and_then_none(hands):
    result = run("today", "--count", "99", "--json")
    assert sorted(json.loads(line)["word"] for line in result.stdout.splitlines()) == sorted(WORDS)
    assert "no more words are left: 12 of 99" in result.stderr
    assert "all words of the small table were given" in error("today", "--date", "2026-12-01")
    assert len(rows("today", "--count", "12")) == 12


def test_what_is_printed_without_a_terminal_is_plain(hands):
    printed = run("today").stdout
    assert printed.startswith("Monday, 30 November 2026\n")
    assert "\x1b" not in printed
    assert "why" in printed


def test_the_words_that_the_package_ships_answer_at_once(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)  # no runs here
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "p"))
    assert SHIPPED.exists()
    (found,) = rows("today")
    assert found["id"] is not None
    assert found["why"][0].endswith("say what you like, and the next ones follow")
    assert Path(tmp_path / "p" / "default.sqlite").exists()
