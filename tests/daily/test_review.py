"""Reviews against the package that computes them; feeds and cards as other programs read them."""

from __future__ import annotations

import json
import plistlib
import shlex
import sqlite3
import zipfile
from datetime import UTC, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

import pytest
from fsrs import Card, Rating, Scheduler
from hypothesis import given as drawn
from hypothesis import strategies as st

from wotd_mlx.daily import schedule as starting
from wotd_mlx.daily.anki import FIELDS, write_apkg, write_tsv
from wotd_mlx.daily.feed import _folded, ics, rss
from wotd_mlx.daily.review import due, schedule
from wotd_mlx.daily.today import Example, Today
from wotd_mlx.show import Shown
from wotd_mlx.taste.votes import Given, Vote
from wotd_mlx.words.dictionary import Sense

START = datetime(2026, 11, 1, 8, tzinfo=UTC)


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def vote(word: str, kind: str, days: float) -> Vote:
    return Vote(word, kind, at(days).isoformat(), at(days).date().isoformat())


def met(word: str, days: float = 0) -> Given:
    return Given(at(days).date().isoformat(), word, at(days).isoformat())


def test_ratings_lead_to_the_times_of_fsrs():
    ratings = [("good", 1), ("good", 1.01), ("again", 6), ("easy", 6.1), ("hard", 20)]
    scheduler, card = Scheduler(enable_fuzzing=False), Card(card_id=1)
    for kind, days in ratings:
        card, _ = scheduler.review_card(card, Rating[kind.capitalize()], at(days))
    (found,) = schedule([met("dew")], [vote("dew", kind, days) for kind, days in ratings], at(21))
    assert found.due == card.due
    assert found.recall == pytest.approx(scheduler.get_card_retrievability(card, at(21)))


def test_a_word_is_due_on_the_day_after_it_was_met_and_not_before():
    assert due([met("dew")], [], at(0.5)) == []
    (found,) = due([met("dew")], [], at(1))
    assert (found.word, found.recall) == ("dew", None)
    # A word that was liked unasked is met too; what was put aside is not asked for.
    votes = [vote("moor", "like", 0), vote("tax", "dislike", 0), vote("levy", "skip", 0)]
    assert [one.word for one in due([met("tax"), met("levy")], votes, at(1))] == ["moor"]


def test_the_longest_due_comes_first():
    given = [met("b", 2), met("a", 1), met("c", 0)]
    assert [one.word for one in due(given, [vote("c", "easy", 1)], at(5))] == ["a", "b"]


def test_a_clock_that_jumps_back_between_reviews():
    votes = [vote("dew", "good", 5), vote("dew", "good", 3)]
    (found,) = schedule([met("dew")], votes, at(6))
    assert found.due >= at(5)


def today(day: str = "2026-11-30", word: str = "dew", gloss: str = "drops, of <water>; & more") -> Today:
    senses, origin = (Sense(gloss, "noun", source="A"),), "Old English dēaw"
    shown = Shown(word, None, {}, {}, "known", {}, None, senses, "du", False, (), (), origin, ())
    return Today(day, shown, ("near mist, which you liked",), Example("dew \\ lay\non it", "A"))


def test_rss_is_read_by_others():
    root = ElementTree.fromstring(rss([today("2026-11-29", "mist"), today()]))
    items = root.findall("channel/item")
    assert [item.findtext("title") for item in items] == ["dew /du/", "mist /du/"]
    assert items[0].findtext("description") == (
        "noun: drops, of <water>; & more\n“dew \\ lay\non it” (A)\nnear mist, which you liked\nFrom Old English dēaw"
    )
    assert parsedate_to_datetime(items[0].findtext("pubDate")) == datetime(2026, 11, 30, tzinfo=UTC)
    again = ElementTree.fromstring(rss([today()])).findtext("channel/item/guid")
    assert items[0].findtext("guid") == again != items[1].findtext("guid")


def test_what_xml_cannot_hold_is_left_out():
    root = ElementTree.fromstring(rss([today(gloss="a\x00b\ud800c\uffff")]))
    assert root.findtext("channel/item/description").startswith("noun: abc\n")


def test_ics_is_read_by_others():
    written = ics([today(), today("2026-11-29", "mist")], datetime(2026, 11, 30, 9, tzinfo=UTC)).decode()
    assert all(len(line.encode()) <= 75 for line in written.split("\r\n"))
    lines = written.replace("\r\n ", "").split("\r\n")
    assert lines[0] == "BEGIN:VCALENDAR"
    assert lines[-2:] == ["END:VCALENDAR", ""]
    values = [dict(line.split(":", 1) for line in event) for event in _events(lines)]
    assert [value["SUMMARY"] for value in values] == ["mist", "dew"]
    assert (values[1]["DTSTART;VALUE=DATE"], values[1]["DTEND;VALUE=DATE"]) == ("20261130", "20261201")
    assert values[1]["DTSTAMP"] == "20261130T090000Z"
    assert values[1]["DESCRIPTION"].startswith("noun: drops\\, of <water>\\; & more\\n“dew \\\\ lay\\non it”")


def _events(lines: list[str]) -> list[list[str]]:
    begins = [n for n, line in enumerate(lines) if line == "BEGIN:VEVENT"]
    return [lines[n + 1 : lines.index("END:VEVENT", n)] for n in begins]


@drawn(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=400))
def test_folded_lines_unfold(text):
    folded = _folded(text)
    assert folded.endswith("\r\n")
    assert folded[:-2].replace("\r\n ", "") == text
    assert all(len(line.encode()) <= 75 for line in folded.split("\r\n"))


def test_cards_are_in_the_package(tmp_path):
    write_apkg(tmp_path / "w.apkg", [today(), today("2026-11-29", "mist")], "Words")
    with zipfile.ZipFile(tmp_path / "w.apkg") as package:
        package.extract("collection.anki2", tmp_path)
    db = sqlite3.connect(tmp_path / "collection.anki2")
    notes = {row[0].split("\x1f")[0]: row for row in db.execute("SELECT flds, guid FROM notes")}
    assert notes["dew"][0].split("\x1f")[2] == "noun: drops, of &lt;water&gt;; &amp; more"
    (decks,) = db.execute("SELECT decks FROM col").fetchone()
    assert "Words" in {deck["name"] for deck in json.loads(decks).values()}
    write_apkg(tmp_path / "again.apkg", [today()], "Words")
    with zipfile.ZipFile(tmp_path / "again.apkg") as package:
        package.extract("collection.anki2", tmp_path)
    assert (
        sqlite3.connect(tmp_path / "collection.anki2").execute("SELECT guid FROM notes").fetchone()[0]
        == notes["dew"][1]
    )


def test_a_table_has_a_word_a_line(tmp_path):
    write_tsv(tmp_path / "w.tsv", [today()])
    lines = (tmp_path / "w.tsv").read_text().splitlines()
    assert lines[:3] == ["#separator:tab", "#html:false", "#columns:" + "\t".join(FIELDS)]
    assert lines[3].split("\t") == [
        "dew", "/du/", "noun: drops, of <water>; & more", "dew \\ lay on it (A)", "near mist, which you liked",
        "Old English dēaw", "2026-11-30",
    ]  # fmt: skip


def test_entries_for_what_starts_programs(monkeypatch):
    monkeypatch.setattr(starting, "program", lambda: ["/a b/wotd-mlx"])
    arguments = ["--profile", "50%"]
    launchd = plistlib.loads(starting.entry("launchd", time(7, 5), arguments).encode())
    assert launchd["ProgramArguments"] == ["/a b/wotd-mlx", "today", "--notify", *arguments]
    assert launchd["StartCalendarInterval"] == {"Hour": 7, "Minute": 5}
    cron = starting.entry("cron", time(7, 5), arguments)
    assert cron.startswith("5 7 * * * ")
    assert shlex.split(cron.replace("\\%", "%"))[5:] == launchd["ProgramArguments"]
    systemd = starting.entry("systemd", time(7, 5), arguments)
    assert 'ExecStart="/a b/wotd-mlx" "today" "--notify" "--profile" "50%%"\n' in systemd
    assert "OnCalendar=*-*-* 07:05:00\n" in systemd


@pytest.mark.parametrize(("shown", "told"), [(0, True), (1, False)])
def test_a_notification_says_whether_it_was_shown(monkeypatch, tmp_path, shown, told):
    log = tmp_path / "log"
    fake = tmp_path / "notify-send"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {log}\nexit {shown}\n')
    fake.chmod(0o755)
    monkeypatch.setattr(starting.sys, "platform", "linux")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert starting.notify("dew", "-drops") is told
    assert log.read_text().splitlines()[-3:] == ["--", "dew", "-drops"]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert starting.notify("dew", "drops") is False
