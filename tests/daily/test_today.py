"""A word as it is shown: why it was given, with what was known then; examples that use the word itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.known_tables import small_table
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.daily.today import Example, present, quoted, reasons
from wotd_mlx.show import show
from wotd_mlx.taste.sqlite import SqliteStore
from wotd_mlx.taste.votes import Given, Vote
from wotd_mlx.vocabulary import Vocabulary
from wotd_mlx.words.dictionary import Entry, Sense, Source
from wotd_mlx.words.uses import load_uses

WORDS = ("dew", "rain", "mist", "tax", "levy")
FIRST = "a word to begin with; say what you like, and the next ones follow"
AT, DAY = "2026-11-30T08:00:00+01:00", "2026-11-30"
VECTORS = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.9, 0.1, 0.42], [0, 0, 1], [0.1, 0, 0.99]], np.float32)


class Dictionary:
    digest = "0123"
    sources = (Source("A", "1", "MIT", "Definitions: A, MIT"), Source("B", "1", "MIT", "Etymology: B"))

    def entry(self, word):
        examples = ("a rainy day", "the damp of the morning", "dews lay on the grass")
        return Entry(word, (Sense("drops of water", "noun", examples=examples, source="A"),)) if word == "dew" else None

    def glosses(self, word, most=5):
        return ()

    def etymology(self, word):
        return None


@pytest.fixture
def words() -> Vocabulary:
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    labels = np.array([[0, -1], [-1, -1], [-1, -1], [1, 1], [0, -1]], np.int8)
    rows, easy = Int8Rows.of(unit), np.zeros(len(WORDS), np.int8)
    senses = Int8Rows.of(np.array([[0, 1, 0], [0, -1, 0], [0, -1, 0], [0, 1, 0]], np.float32))  # rain, mist, levy
    own = {"word_rows": rows, "sense_rows": senses, "labels": labels, "guesses": labels, "difficulty": easy}
    known = small_table(words=WORDS, width=3, **own)
    found = Vocabulary(known, "five words")
    found.__dict__["dictionary"] = Dictionary()
    return found


def vote(word: str, kind: str = "like", at: str = "2026-11-29T08:00:00+01:00") -> Vote:
    return Vote(word, kind, at, at[:10])


def why(words: Vocabulary, votes: list[Vote], word: str = "dew") -> list[str]:
    return reasons(words, votes, Given(DAY, word, AT), show(words, word))


def test_the_nearest_liked_words_are_named(words):
    votes = [vote("tax"), vote("rain"), vote("mist"), vote("no such word")]
    assert why(words, votes)[0] == "near mist and rain, which you liked"
    assert why(words, [vote("rain"), vote("tax")])[0] == "near rain, which you liked"
    assert why(words, [vote("tax")])[0] == "something new: unlike what you liked so far"
    assert why(words, [vote("tax")], "mist")[0] == "like what you liked, though near to none of it"


def test_words_are_near_by_their_commonest_senses_too(words):
    assert why(words, [vote("levy")], "rain")[0] == "near levy, which you liked"
    assert why(words, [vote("tax")], "rain")[0] == "something new: unlike what you liked so far"  # tax has no sense


def test_how_rare_a_word_is_is_named_where_neither_is_near(words):
    words.__dict__["zipf"] = np.array([2.0, 4.0, 2.3, 2.1, 2.4], np.float32)
    assert why(words, [vote("tax")])[0] == "something new, though as rare as tax, which you liked"
    assert why(words, [vote("tax")], "mist")[0] == "as rare as tax, which you liked"
    words.__dict__["zipf"] += 1
    assert why(words, [vote("tax")])[0] == "something new: unlike what you liked so far"


def test_a_period_is_named_where_no_meaning_is_near(words):
    assert why(words, [vote("levy")])[0] == "classical like levy, which you liked"
    assert why(words, [vote("rain"), vote("levy")])[0] == "near rain, which you liked"
    words.known.labels[0, 1] = words.known.labels[3, 1]
    assert why(words, [vote("tax")])[0].startswith("something new")  # both are contemporary: so is most of what is said


def test_only_what_was_said_before_counts(words):
    later = "2026-11-30T07:00:01+00:00"  # a second after it was given, in another zone
    assert why(words, [vote("rain", at=later)])[0] == FIRST
    assert why(words, [vote("rain"), vote("rain", "dislike")])[0] == FIRST
    assert why(words, [vote("rain"), vote("rain", "dislike", later)])[0] == "near rain, which you liked"
    assert why(words, [vote("dew")])[0] == FIRST  # itself is no reason


def test_labels_are_reasons_where_evidence_gives_them(words):
    assert why(words, [])[1:] == ["classical", str(load_uses("dew"))]
    assert why(words, [], "tax")[1:] == ["modern", "contemporary", str(load_uses("tax"))]
    assert why(words, [], "rain")[1:] == [str(load_uses("rain"))]


def test_before_anything_was_said_a_word_is_near_what_many_like(words, monkeypatch):
    monkeypatch.setattr("wotd_mlx.daily.today.TasteConfig", lambda: TasteConfig(seeds=("mist", "tax", "rain")))
    assert why(words, [])[0] == FIRST.replace("a word to begin with", "near mist and rain, which many people like")


def test_an_example_uses_the_word_itself(words, tmp_path):
    store = SqliteStore(tmp_path / "p.sqlite")
    found = present(words, store, Given(DAY, "dew", AT))
    assert found.example == Example("dews lay on the grass", "A")
    assert found.sources == ("A (MIT)",)  # nothing was told of its origin
    row = found.as_json()
    assert list(row)[:7] == ["date", "word", "id", "labels", "gloss", "why", "example"]
    assert (row["date"], row["word"], row["gloss"]) == (DAY, "dew", "drops of water")
    assert row["example"] == {"text": "dews lay on the grass", "source": "A"}
    assert present(words, store, Given(DAY, "tax", AT)).as_json()["example"] is None


@pytest.fixture
def literature(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(
        "Tax! He paid the tax upon his windows, and was glad\nof the light. The taxes rose. It was a long sentence "
        + "of many words " * 20
        + "with the tax in it.\n"
    )
    (tmp_path / "b.txt").write_text("They spoke of no levy at all that morning.\n")
    rows = (
        "file author title year era",
        "a.txt Ada-Ash Windows 1850 victorian",
        "b.txt Bo-Birch Morning 1920 modernist",
    )
    table = "\n".join(row.replace(" ", "\t").replace("-", " ") for row in rows)
    (tmp_path / "manifest.tsv").write_text(table + "\n")
    return tmp_path


def test_a_sentence_of_the_works_is_an_example(words, literature, tmp_path):
    wanted = Example("He paid the tax upon his windows, and was glad of the light.", "Ada Ash, Windows")
    assert quoted(literature, "tax") == wanted
    assert quoted(literature, "windo") is None
    store = SqliteStore(tmp_path / "p.sqlite")
    assert present(words, store, Given(DAY, "tax", AT), literature).example == wanted
