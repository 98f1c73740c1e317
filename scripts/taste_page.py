"""Fill the tables of docs/explanation/taste.md from benchmarks/results/taste.json, and its days with --days.

python -m scripts.taste_page            the tables
python -m scripts.taste_page --days     fourteen days of three people too, by the words that the package ships
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.taste_picture import A_DAY, by_day, regret
from scripts.codes_page import spread
from scripts.tables import ROOT, filled, results, share, table
from wotd_mlx.daily.day import Daily
from wotd_mlx.daily.today import present
from wotd_mlx.taste.sqlite import SqliteStore
from wotd_mlx.taste.votes import LIKE, Vote
from wotd_mlx.vocabulary import Vocabulary

PAGE = ROOT / "docs" / "explanation" / "taste.md"
NAMED = {
    "nobody yet": (),
    "a poet": ("gossamer", "twilight", "lament", "willow", "hush"),
    "a cook": ("saffron", "brine", "dumpling", "simmer", "nutmeg"),
    "a lawyer who loves old words": ("tort", "knave", "lien", "betwixt", "usury"),
}
"""People, and the words that they named; they never vote after that."""
DAYS = 14
_FIRST = datetime(2026, 12, 1, 8, tzinfo=UTC)
_GLOSS = 60

Rows = list[dict[str, Any]]


def _mean(rows: Iterable[dict[str, Any]], key: str = "liked") -> float:
    return float(np.mean([row[key] for row in rows]))


def people() -> str:
    """The share of liked words by person and strategy, and their means."""
    rows: Rows = results("taste")["people"]
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    lines = []
    for person in dict.fromkeys(row["person"] for row in rows):
        own = [row for row in rows if row["person"] == person]
        by = {strategy: [row["liked"] for row in own if row["strategy"] == strategy] for strategy in strategies}
        # IDs say what the works do that a person likes: nobody is asked for them then.
        cells = [spread(liked) if liked else "" for liked in by.values()]
        lines.append([person, f"{own[0]['words']:,}", *cells, share(_mean(own, "most"))])
    means = [
        share(_mean(row for row in rows if row["strategy"] == strategy)) if strategy != "codes" else ""
        for strategy in strategies
    ]
    lines.append(
        ["**mean**", "", *(f"**{mean}**" if mean else "" for mean in means), f"**{share(_mean(rows, 'most'))}**"]
    )
    return table(("person", "words liked", *strategies, "oracle"), lines)


def over_time() -> str:
    """By strategy: how many of what was given is liked at first and at last, and the regret."""
    rows: Rows = results("taste")["people"]
    lines = []
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == strategy]
        shares = np.mean([by_day(row) for row in own], axis=0) / A_DAY
        lost = float(np.mean([regret(row)[-1] for row in own]))
        lines.append([strategy, share(float(shares[:DAYS].mean())), share(float(shares[-DAYS:].mean())), f"{lost:.0f}"])
    return table(("strategy", "first fortnight", "last fortnight", "regret, words"), lines)


def summary() -> str:
    """In one sentence: how far ahead of the strongest peer, and how much was new."""
    rows: Rows = results("taste")["people"]
    by = {name: [row for row in rows if row["strategy"] == name] for name in ("taste", "nearest")}
    ratio = _mean(by["taste"]) / _mean(by["nearest"])
    people = dict.fromkeys(row["person"] for row in rows)
    behind = [
        person
        for person in people
        if _mean(r for r in by["taste"] if r["person"] == person)
        < _mean(r for r in by["nearest"] if r["person"] == person)
    ]
    told = f"behind it for: {', '.join(behind)}" if behind else "behind it for nobody"
    return (
        f"The taste's mean is {ratio:.2f} times that of the words nearest to the mean of those liked; it is {told}. "
        f"{_mean(by['taste'], 'outside'):.0%} of its words lay outside what was liked until then (a seventh is 14%), "
        f"and {_mean(by['taste'], 'alike_days'):.1%} of days had a word too like one of the day before."
    )


def choices() -> str:
    """What constants were chosen by."""
    lines = []
    for name, rows in results("taste")["choices"].items():
        for strategy in dict.fromkeys(row["strategy"] for row in rows):
            found = [row for row in rows if row["strategy"] == strategy]
            told = name if strategy == "taste" else strategy
            lines.append([f"**{told}**" if name == "stands" and strategy == "taste" else told, share(_mean(found))])
    return table(("", "liked"), lines)


def days() -> str:
    """A fortnight of each of :data:`NAMED`."""
    words, told = Vocabulary.open(None), []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, liked) in enumerate(NAMED.items()):
            store = SqliteStore(Path(folder) / f"{number}.sqlite", seed=1)
            at = _FIRST.isoformat()
            store.add([Vote(word, LIKE, at, at[:10]) for word in liked])
            lines = []
            for day in range(DAYS):
                now = _FIRST + timedelta(days=day, minutes=1)
                (given,) = Daily(words, store).of(now.date(), now)
                shown = present(words, store, given)
                gloss = shown.shown.senses[0].gloss if shown.shown.senses else ""
                short = gloss if len(gloss) <= _GLOSS else f"{gloss[:_GLOSS].rsplit(' ', 1)[0]} …"
                lines.append([given.word, short, shown.why[0]])
            store.close()
            head = f"**{name}**" + (f", who named {', '.join(liked)}" if liked else "")
            told.append(f"{head}\n\n{table(('word', 'means', 'why'), lines, left=3)}")
    return "\n\n".join(told)


TABLES = {"people": people, "over_time": over_time, "summary": summary, "choices": choices}


def main() -> None:
    """Fill the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", action="store_true", help="choose a fortnight of words anew")
    asked = {**TABLES, "days": days} if parser.parse_args().days else TABLES
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), asked), encoding="utf-8")
    print(PAGE.name)


if __name__ == "__main__":
    main()
