"""show: all that is known of a word, from run, table and dictionary; what isn't known is said to be predicted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.known_tables import small_table
from wotd_mlx import SemanticEncoder, WotdError, vocabulary
from wotd_mlx.cli import main
from wotd_mlx.schemas import Word
from wotd_mlx.show import figures_of, show
from wotd_mlx.vocabulary import Vocabulary
from wotd_mlx.words.dictionary import Entry, Sense, Source
from wotd_mlx.words.jsonl import find_word, read_jsonl


class Dictionary:
    """One word, with all that a dictionary may tell."""

    digest = "0123"
    sources = (Source("a", "1", "MIT", "Definitions: A"), Source("b", "1", "MIT", "Etymology: B"))

    def entry(self, word):
        senses = (Sense("a place to be\nalone", "noun"), Sense("being alone", "noun", examples=("in solitude",)))
        return Entry("solitude", senses, ipa="ˈsɑləˌtud", ipa_predicted=True) if word == "solitude" else None

    def glosses(self, word, most=5):
        entry = self.entry(word)
        return tuple(sense.gloss for sense in entry.senses[:most]) if entry else ()

    def etymology(self, word):
        return "Latin solitudo" if word == "solitude" else None


@pytest.fixture
def words(finished):
    found = Vocabulary.open(finished.run)
    found.__dict__["dictionary"] = Dictionary()
    return found


def test_a_known_word_with_all_there_is(words):
    shown = show(words, " SOLITUDE\u200b")
    coder = SemanticEncoder.load(words.coder.run.path)
    assert (shown.word, shown.id, shown.source) == ("solitude", coder.own_ids["solitude"], "known")
    assert shown.labels == {"style": "romantic", "complexity": "complex", "era": "victorian"}
    assert shown.evidence["style"]["works"] == 7
    assert shown.evidence["style"]["because"] == (
        "5.5 times the odds of other texts, z 8.77, in 7 works, 83 uses in the works, above all Mary "
        "Shelley, Frankenstein (1818)"
    )
    assert shown.evidence["complexity"]["because"] == "CEFR C2, 2.6 uses in a million words today"
    near = coder.nearest(coder.known.vectors[[coder.known.row("solitude")]], 6)[0]
    assert [n.word for n in shown.neighbours] == [n.word for n in near[1:]]
    assert (shown.ipa, shown.ipa_predicted, shown.etymology) == ("ˈsɑləˌtud", True, "Latin solitudo")
    assert shown.attribution == ("Definitions: A", "Etymology: B")
    row = json.loads(json.dumps(shown.as_json()))
    assert {"word", "id", "labels", "evidence", "gloss", "ipa", "neighbours", "family"} <= row.keys()
    assert row["gloss"] == "a place to be\nalone"
    assert row["senses"][1] == {"pos": "noun", "gloss": "being alone", "examples": ["in solitude"]}


def test_a_word_that_nobody_knows_is_predicted(words):
    shown = show(words, "zzyzx zzyzx")
    assert shown.source == "predicted"
    assert shown.evidence == {}
    assert shown.senses == shown.attribution == shown.family == ()
    assert len(shown.neighbours) == 5
    assert set(shown.probability) == {"style", "complexity", "era"}


def test_what_a_label_rests_on_in_words():
    word = Word("morn", corpus="c", source="keats", zipf=2.0, cefr="C1", evidence={"verse_ratio": 7.5, "verse_z": 9.1})
    assert figures_of(word, "complexity", "beautiful")["because"] == (
        "verse has it 7.5 times as often as prose, CEFR C1, 0.1 uses in a million words today"
    )
    assert figures_of(word, "complexity", "complex") == {
        "cefr": "C1",
        "zipf": 2.0,
        "because": "CEFR C1, 0.1 uses in a million words today",
    }
    assert figures_of(Word("odd"), "mood", "dark") == {}


def test_without_a_run_the_package_and_the_dictionary_tell(monkeypatch, tmp_path, checkpoint):
    file = tmp_path / "package.safetensors"
    words = ("solitary", "solitude's", "prithee")
    small_table(0, 32, words, embedding=str(checkpoint), labels=np.zeros((3, 2), np.int8)).write(file)
    monkeypatch.setattr(vocabulary, "SHIPPED", file)
    monkeypatch.chdir(tmp_path)
    found = Vocabulary.open()
    found.__dict__["dictionary"] = Dictionary()
    assert show(found, "prithee").evidence["era"]["works"] > 1
    told = show(found, "solitude")
    assert (told.id, told.source, told.ipa) == (None, "", "ˈsɑləˌtud")
    with pytest.raises(WotdError, match=r"'zzyzx' is none of the 3 words .*, nor in a dictionary here; train a run"):
        show(found, "zzyzx")
    with pytest.raises(WotdError, match="the word is empty"):
        show(found, "\ufeff ")


def test_the_command_prints_plain_lines_where_no_terminal_is(finished):
    plain = CliRunner().invoke(main, ["show", "--run", str(finished.run), "Solitude"])
    assert plain.exit_code == 0
    lines = plain.stdout.splitlines()
    assert lines[0].startswith("solitude")
    assert any(line.startswith("style       romantic  5.5 times the odds") for line in lines)
    assert "\x1b" not in plain.stdout
    result = CliRunner().invoke(main, ["show", "--run", str(finished.run), "Solitude", "--json"])
    row = json.loads(result.stdout)
    assert row["source"] == "known"
    assert result.stderr.splitlines()[0] == f"from {finished.run}"


def test_control_characters_are_escaped(finished, monkeypatch):
    monkeypatch.setattr("wotd_mlx.words.dictionary.load_dictionary", Dictionary)
    result = CliRunner().invoke(main, ["show", "--run", str(finished.run), "solitude"])
    assert "noun        a place to be\\nalone" in result.stdout.splitlines()


def test_one_word_of_a_corpus_is_found_without_the_others(finished, tmp_path):
    file = finished.run / "corpus.jsonl"
    every = read_jsonl(file).words
    for word in (every[0], every[600], every[-1]):
        assert find_word(file, f" {word.text.upper()}") == word
    assert find_word(file, "zzyzx") is None
    assert find_word(file, every[0].text[:-1]) is None
    (tmp_path / "a.jsonl").write_text('{"word": "joy", "labels": 3}\n')
    with pytest.raises(WotdError, match=r"a.jsonl: 'joy': labels is 3"):
        find_word(tmp_path / "a.jsonl", "joy")
