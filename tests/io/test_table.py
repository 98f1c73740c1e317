"""Tables: a header that is one, rows as wide as it, whatever parts the columns."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.io.table import read_table
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.words.csv_table import read_csv

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


def read(tmp_path, text: str, separator: str = ",", needed=("word",), quoted: bool = True):
    file = tmp_path / "t.csv"
    file.write_bytes(text.encode())
    table = read_table(file, separator, needed, "give words", quoted)
    return table.columns, list(table.rows)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=5), st.sampled_from(",;\t|"))
def test_what_a_writer_of_csv_writes_reads_back(tmp_path_factory, rows, separator):
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows([["word", "mood", "era"], *rows])
    columns, found = read(tmp_path_factory.mktemp("t"), out.getvalue(), separator)
    assert columns == ("word", "mood", "era")
    assert [row for _, row in found] == [row for row in rows if any(cell.strip() for cell in row)]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_columns_parted_otherwise_are_read_and_it_is_said(tmp_path, caplog, separator):
    file = tmp_path / "moods.csv"
    file.write_text(f"word{separator}mood\nkingly{separator}dark, high\njoy{separator}bright\n")
    corpus, attributes = read_csv(file)
    assert [(w.text, dict(w.labels)) for w in corpus.words] == [
        ("kingly", {"mood": "dark, high"}),
        ("joy", {"mood": "bright"}),
    ]
    assert attributes[0].values == ("dark, high", "bright")
    assert "are parted by" in caplog.text


def test_a_tsv_with_commas_is_read_and_it_is_said(tmp_path, caplog):
    file = tmp_path / "moods.tsv"
    file.write_text("word,mood\njoy,bright\n")
    assert dict(read_csv(file)[0].words[0].labels) == {"mood": "bright"}
    assert "parted by commas, not by tabs" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line is '', without 'word'; expected a header such as word,"),
        ("joy,glad\n", "the first line is 'joy,glad', without 'word'"),
        ("joy;glad;high\n", "the first line is 'joy;glad;high', without 'word'"),
        ("word,mood,mood\n", "expected different names"),
        ("word,\n", "expected different names, none empty"),
        ("word,mood\njoy\n", "t.csv:2: 1 cells, the header has 2; quote a cell"),
        ('word,mood\n"joy\n', "not CSV"),
        ("word\n" + "x" * 200_000 + "\n", "not CSV (field larger than field limit"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, text, message):
    with pytest.raises(WotdError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quotation_marks_may_mean_nothing(tmp_path):
    columns, rows = read(tmp_path, 'word\tsaid\n"a\tb"\n\nc\td\r\n', "\t", quoted=False)
    assert columns == ("word", "said")
    assert rows == [(2, ['"a', 'b"']), (4, ["c", "d"])]


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(MissingError, match="no file"):
        read_table(tmp_path / "none.csv", ",", ["word"], "give words")
