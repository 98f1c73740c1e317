"""find: the words whose senses lie nearest, counted by hand; filters; one word a family; the package's own table."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.known_tables import WORDS, small_table, unit
from tests.tolerances import close
from wotd_mlx import SemanticEncoder, WotdError, vocabulary
from wotd_mlx.cli import main
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.find import find, gloss_of, having, sense_vectors, short, source_of
from wotd_mlx.known import FILE, KnownWords
from wotd_mlx.vocabulary import Vocabulary
from wotd_mlx.words.families import family

KNOWN = small_table()


class Glosses:
    """A dictionary of as many glosses as a word has senses."""

    digest = "0123"

    def __init__(self, known: KnownWords = KNOWN):
        self.known = known

    def glosses(self, word: str, most: int = 5) -> tuple[str, ...]:
        senses = self.known.senses_of(self.known.row(word))
        return tuple(f"{word}, {n}" for n in range(len(senses)))[:most]


def embed(texts):
    return unit(np.stack([np.random.default_rng(len(text)).normal(size=16) for text in texts]))


def by_hand(query, n, taken=()) -> list[tuple[int, float]]:
    query = unit(query - KNOWN.centre)
    senses, words = KNOWN.senses @ query, KNOWN.vectors @ query
    nearest = [max(senses[list(KNOWN.senses_of(row))], default=words[row]) for row in range(8)]
    best = {row: 0.25 * words[row] + 0.75 * nearest[row] for row in range(8)}
    out, families = [], {family(WORDS[row]) for row in taken}
    for row in sorted(best, key=lambda row: -best[row]):
        if family(WORDS[row]) not in families:
            families.add(family(WORDS[row]))
            out.append((row, best[row]))
    return out[:n]


@given(text=st.text("abc", min_size=1, max_size=30), n=st.integers(1, 9))
def test_a_word_is_as_near_as_its_nearest_sense(text, n):
    found, want = find(KNOWN, embed, text, n), by_hand(embed([text])[0], n)
    assert [f.word for f in found] == [WORDS[row] for row, _ in want]
    close([f.cosine for f in found], [cosine for _, cosine in want], "forms")


def test_the_gloss_is_that_of_the_sense_that_lies_nearest():
    for f in find(KNOWN, embed, "something", 8, dictionary=Glosses()):
        row = KNOWN.row(f.word)
        cosines = KNOWN.senses @ unit(embed(["something"])[0] - KNOWN.centre)
        if senses := list(KNOWN.senses_of(row)):
            assert f.gloss == f"{f.word}, {int(np.argmax(cosines[senses]))}"
        else:
            assert f.gloss is None
    assert gloss_of(KNOWN, 2, None) is None
    assert gloss_of(KNOWN, 0, Glosses()) is None
    other = Glosses()
    other.digest = "another"
    assert gloss_of(KNOWN, 2, other, 1) == "joyful, 0"


def test_a_form_gives_way_to_the_word_itself():
    """joy and joys mean the same, joyful something else; all three are one family."""

    class Same(Glosses):
        def glosses(self, word, most=5):
            return (word.removesuffix("s"),)[:most]

    near = {**dict.fromkeys(WORDS, 0.0), "joys": 0.9, "joy": 0.5}
    words = unit(np.stack([np.full(16, 1 - near[word]) + near[word] * np.eye(16)[0] * 20 for word in WORDS]))
    known = small_table(word_rows=Int8Rows.of(words), sense_rows=Int8Rows.of(words[small_table().owner]), centre=None)
    query = unit(np.eye(16)[0])
    assert find(known, lambda texts: query[None], "glad", 1)[0].word == "joys"
    found = find(known, lambda texts: query[None], "glad", 1, dictionary=Same())[0]
    assert (found.word, found.gloss) == ("joy", "joy")
    close(found.cosine, known.vectors[0] @ query, "forms")


def test_the_descriptions_own_words_are_no_answers():
    found = find(KNOWN, embed, "Joyful, the moon", 8)
    assert not {"moon"} & {f.word for f in found}
    assert [f.word for f in found] == [WORDS[row] for row, _ in by_hand(embed(["Joyful, the moon"])[0], 8, taken=[7])]


def test_a_known_word_gives_words_of_like_meaning_and_not_itself():
    found = find(KNOWN, embed, " MOON ", 8)
    cosines = KNOWN.vectors @ KNOWN.vectors[7]
    assert {f.word for f in found} & {"moon"} == set()
    close([f.cosine for f in found], [cosines[KNOWN.row(f.word)] for f in found], "forms")
    assert [f.cosine for f in found] == sorted((f.cosine for f in found), reverse=True)


def test_words_with_a_label_by_evidence_come_first_then_likely_ones():
    labels = np.full((8, 2), -1, np.int8)
    labels[[2, 5]] = 2, 0
    guesses, probability = labels.copy(), (labels >= 0).astype(np.float32)
    guesses[[4, 7], 0], probability[[4, 7], 0] = 2, [0.9, 0.5]
    known = small_table(labels=labels, guesses=guesses, probability=probability)
    found = find(known, embed, "something", 8, values={"style": "romantic"})
    assert {f.word for f in found[:2]} == {"joyful", "café"}
    assert [(f.word, f.source) for f in found[2:]] == [("a quiet joy", "predicted")]
    assert [f.source for f in found[:2]] == ["known", "known"]
    assert all(f.labels["style"] == "romantic" for f in found)
    sure, likely = having(known, {"style": "romantic", "era": "victorian"})
    assert np.flatnonzero(sure).tolist() == [2, 5]
    assert not likely.any()
    assert source_of(known, 4, {"style": "romantic"}) == "predicted"
    assert source_of(known, 2, {"style": "romantic"}) == source_of(known, 4, {}) == "known"


def test_only_words_of_a_class_of_difficulty():
    found = find(KNOWN, embed, "something", 8, difficulty=2)
    assert {KNOWN.difficulty[KNOWN.row(f.word)] for f in found} <= {2}


def test_without_senses_the_words_vectors_answer():
    known = small_table(owner=np.zeros(0, np.int32), sense_rows=Int8Rows(np.zeros((0, 16), np.int8)), centre=None)
    query = embed(["something"])[0]
    assert find(known, embed, "something", 1)[0].word == WORDS[int(np.argmax(known.vectors @ query))]


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        (" \u200b", {}, "the description is empty"),
        ("x", {"mood": "dark"}, "unknown attribute 'mood'; there is style, era"),
        ("x", {"style": "dark"}, "unknown value 'dark' of style; there are classical, modern, romantic"),
    ],
)
def test_what_cannot_be_answered_is_told(text, values, message):
    with pytest.raises(WotdError, match=message):
        find(KNOWN, embed, text, values=values)


def test_a_sense_is_what_its_gloss_says_beside_the_name():
    """A name's own direction is more than halved; what is at right angles to it stays."""
    name, told = np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[1]
    found = sense_vectors(unit(name + told)[None], name[None])[0]
    close(found[:2], unit(np.array([2**-0.5 - 0.4, 2**-0.5])), "forms")
    assert not found[2:].any()


def test_a_short_gloss_is_the_first_part_cut_at_a_word():
    assert short("good luck; fortune") == "good luck"
    assert short(None) == ""
    assert short("word " * 30) == " ".join(["word"] * 14) + " …"


@pytest.fixture(scope="module")
def stored(finished, tmp_path_factory):
    """The finished run with a table of its known words, each with two senses near its vector."""
    folder = tmp_path_factory.mktemp("runs") / "stored"
    shutil.copytree(finished.run, folder)
    coder = SemanticEncoder.load(folder)
    known = coder.known
    noise = np.random.default_rng(0).normal(size=(2 * len(known), 32)).astype(np.float32)
    owner = np.repeat(np.arange(len(known), dtype=np.int32), 2)
    fields = {name: getattr(known, name) for name in known.__dataclass_fields__}
    fields |= {"word_rows": Int8Rows.of(known.vectors), "owner": owner, "glosses": "none"}
    made = KnownWords(**fields | {"sense_rows": Int8Rows.of(unit(known.vectors[owner] + 0.05 * noise))})
    made.write(folder / FILE, coder.run.known_made_from())
    return folder


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_stored_table_answers_as_the_run_did(stored, finished):
    old, new = SemanticEncoder.load(finished.run), SemanticEncoder.load(stored)
    texts = ["forsooth", "TELEPHONE", "two words"]
    assert new.encode(texts) == old.encode(texts)
    assert new.read(["forsooth"])[0].labels == old.read(["forsooth"])[0].labels
    fresh = SemanticEncoder.load(stored)
    fresh.encode(["forsooth"])
    assert not {"model", "embedder"} & vars(fresh).keys()


def test_the_command_prints_words_and_where_they_are_from(stored):
    result = run("find", "--run", stored, "a word for joy", "-n", 3, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.stderr.splitlines()[0] == f"from {stored}"
    assert [list(row) for row in rows] == [["word", "cosine", "gloss", "labels", "source"]] * 3
    coder = SemanticEncoder.load(stored)
    assert [row["word"] for row in rows] == [f.word for f in coder.find("a word for joy", 3)]
    plain = run("find", "--run", stored, "a word for joy", "-n", 3).stdout.splitlines()
    assert [line.split()[1] for line in plain] == [row["word"] for row in rows]


def test_the_command_filters_and_refuses(stored):
    asked = ("find", "--run", stored, "a word for joy", "--json")
    rows = [json.loads(line) for line in run(*asked, "--style", "romantic").stdout.splitlines()]
    assert {row["labels"]["style"] for row in rows} == {"romantic"}
    again = [json.loads(line) for line in run(*asked, "--attribute", "style=romantic").stdout.splitlines()]
    assert again == rows
    assert run(*asked, "--attribute", "romantic").exit_code == 2
    wrong = run(*asked, "--style", "odd")
    assert wrong.exit_code == 1
    assert "error: unknown value 'odd' of style" in wrong.stderr


def test_the_packages_words_answer_before_anything_was_trained(tmp_path, monkeypatch, checkpoint):
    file = tmp_path / "package.safetensors"
    small_table(0, 32, embedding=str(checkpoint)).write(file)
    monkeypatch.setattr(vocabulary, "SHIPPED", file)
    monkeypatch.chdir(tmp_path)
    words = Vocabulary.open()
    assert words.name == "the 8 words that the package ships"
    assert words.read(["Joy"])[0].source == "known"
    result = run("encode", "joy", "nobody knows this", "--json")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "from the 8 words that the package ships",
        "error: 'nobody knows this' is none of the 8 words that the package ships; train a run, which predicts any "
        "text, with `wotd-mlx train`",
    ]
    assert run("find", "a word", "-n", 2).exit_code == 0
    missing = run("encode", "--run", tmp_path / "absent", "joy")
    assert missing.exit_code == 1
    assert "no run folder" in missing.stderr
