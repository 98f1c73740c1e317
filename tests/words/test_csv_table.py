"""Words and labels as CSV: what is read, what is refused, and a training on attributes of one's own."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.words.typed import TYPED
from wotd_mlx import WotdError
from wotd_mlx.cli import main
from wotd_mlx.schemas import Attribute
from wotd_mlx.words import load_corpus
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.csv_table import read_csv


def test_columns_become_attributes_and_empty_cells_no_label(tmp_path):
    file = tmp_path / "moods.csv"
    file.write_text('\ufeffword,mood,register\njoy,glad,\n"alas, no",sad,high\njoy,sad,low\n\ngrief,sad,low\n', "utf-8")
    corpus, attributes = read_csv(file)
    assert [(w.text, dict(w.labels)) for w in corpus.words] == [
        ("joy", {"mood": "glad"}),
        ("alas, no", {"mood": "sad", "register": "high"}),
        ("grief", {"mood": "sad", "register": "low"}),
    ]
    assert attributes == (Attribute("mood", ("glad", "sad")), Attribute("register", ("high", "low")))
    assert load_corpus(file) == corpus


def test_a_word_is_one_however_it_is_typed(tmp_path, caplog):
    file = tmp_path / "w.csv"
    file.write_text("word,mood\n" + "".join(f'"{text}",glad\n' for text in TYPED), "utf-8")
    assert [w.text for w in read_csv(file)[0].words] == ["caf\u00e9"]
    assert f"{len(TYPED) - 1} repeated words" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the first line is '', without 'word'"),
        (b"word,mood,mood\n", ":1: the header is"),
        (b"word,mood\n", "holds no words"),
        (b"joy,glad\ngrief,sad\n", "the first line is 'joy,glad', without 'word'; expected a header such as word,"),
        (b"mood,word\nglad,joy\n", "the header begins with 'mood'; expected the column 'word' first"),
        (b"joy\ngrief\n", "the first line is 'joy', without 'word'"),
        (b"word,mood\njoy\n", ":2: 1 cells, the header has 2"),
        (b"word,mood\n,glad\n", ":2: the first cell, the word, is empty"),
        (b"word,mood\n\xe2\x80\x8b,glad\n", ":2: the first cell, the word, is empty"),
        (b"word,mood\njoy,\n", "column 'mood' has no label at all"),
        (b'word,mood\n"joy,glad\n', "not CSV"),
        (b"word,mood\nj\xff,glad\n", "not UTF-8 (byte 12)"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, content, message):
    file = tmp_path / "w.csv"
    file.write_bytes(content)
    with pytest.raises(WotdError) as caught:
        read_csv(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_words_or_one_line_of_error(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("csv") / "w.tsv"
    file.write_bytes(content)
    message, fits = "", True
    try:
        corpus, attributes = read_csv(file)
        fits = all(word.labels.get(a.name, a.values[0]) in a.values for word in corpus.words for a in attributes)
    except WotdError as error:
        message = str(error)
    assert fits
    assert "\n" not in message


def test_a_csv_trains_its_own_attributes(tmp_path, checkpoint):
    words = [w.text for w in load_builtin().words[:400]]
    file = tmp_path / "sizes.csv"
    rows = [f"{w},{'short' if len(w) < 7 else 'long'},{w[0] if w[0] in 'abc' else ''}" for w in words]
    file.write_text("\n".join(["word,length,initial", *rows]))
    arguments = ["train", "--corpus", str(file), "--no-lexicon", "--no-cache", "--embedding", str(checkpoint)]
    arguments += ["--language", "none", "--levels", "4,6,8"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "run"), "--json"])
    assert result.exit_code == 0, result.stderr
    codes = json.loads(result.stdout.splitlines()[-1])["metrics"]["codes"]
    assert set(codes["label_accuracy"]) == {"length", "initial"}
    assert list(codes["moves"]) == ["length", "initial", "variation"]
    named = CliRunner().invoke(main, ["codes", "--run", str(tmp_path / "run"), "--json", "--coordinate", "length"])
    rows = [json.loads(line) for line in named.stdout.splitlines()]
    assert [row["code"] for row in rows] == [0, 1, 2, 3]
    assert {row["name"].partition(":")[0] for row in rows} <= {"short", "long", "none"}
    bad = CliRunner().invoke(main, ["codes", "--run", str(tmp_path / "run"), "--coordinate", "style"])
    assert bad.exit_code == 1
    assert "no coordinate 'style'; its coordinates are length, initial, variation" in bad.stderr
