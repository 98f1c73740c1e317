"""The sentences of predictors: tables and texts of every shape, and their split."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wotd_mlx.lvm.data.sentences import Sentences, read_sentences, split_by_article
from wotd_mlx.schemas import MissingError, WotdError

TABLE = "article_id\tsent_idx\tsentence\nA\t0\tOne.\nA\t1\tTwo.\nB\t0\tThree.\nB\t1\tFour.\n"


def table(folder: Path, text: str | bytes, name: str = "sentences.tsv") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def articles_of(sentences: Sentences) -> list[list[str]]:
    return [list(sentences.texts[a:b]) for a, b in pairwise(sentences.starts)]


def many(*lengths: int) -> Sentences:
    texts = tuple(f"sentence {n}" for n in range(sum(lengths)))
    return Sentences(texts, np.cumsum([0, *lengths]), tuple(map(str, lengths)), ("",) * len(lengths))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", [True, False])
def test_a_table_is_read_whatever_its_lines_end_with(tmp_path, newline, start, end):
    text = (start + TABLE).replace("\n", newline)
    read = read_sentences(table(tmp_path, text if end else text.rstrip()))
    assert articles_of(read) == [["One.", "Two."], ["Three.", "Four."]]
    assert read.titles == ("A", "B")
    assert read.topics == ("", "")
    np.testing.assert_array_equal(read.article, [0, 0, 1, 1])
    np.testing.assert_array_equal(read.position, [0, 1, 0, 1])


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_with_commas_or_semicolons_is_read_with_its_quotes(tmp_path, separator, caplog):
    rows = [("article_id", "sentence"), ("A", "One, he said; or two."), ("A", 'A 3.5" disk'), ("B", "x"), ("B", "y")]
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(rows)
    read = read_sentences(table(tmp_path, out.getvalue(), "sentences.csv"))
    assert articles_of(read) == [["One, he said; or two.", 'A 3.5" disk'], ["x", "y"]]
    assert "sentences.csv: its columns are parted by " in caplog.text


def test_quotation_marks_are_part_of_a_sentence(tmp_path):
    said = ['"Yes," he said.', 'A 3.5" disk', '"', "Don't; it's, \"odd\"", "x" * 200_000]
    rows = "".join(f"A\t{sentence}\n" for sentence in said)
    assert articles_of(read_sentences(table(tmp_path, "article_id\tsentence\n" + rows))) == [said]


def test_rows_are_sorted_within_their_article_and_may_be_mixed(tmp_path):
    rows = "sentence\tarticle_id\tsent_idx\nb1\tB\t11\na1\tA\t1\nb0\tB\t2\n\na0\tA\t0\nb2\tB\t100\n"
    read = read_sentences(table(tmp_path, rows))
    assert articles_of(read) == [["b0", "b1", "b2"], ["a0", "a1"]]


def test_titles_and_topics_come_from_the_table_or_from_beside_it(tmp_path):
    own = "article_id\ttitle\ttopic\tsentence\nA\tAlpha\tletters\tOne.\nA\tAlpha\tletters\tTwo.\n"
    read = read_sentences(table(tmp_path, own, "own.tsv"))
    assert (read.titles, read.topics) == (("Alpha",), ("letters",))
    table(tmp_path, "topic\tarticle_id\nnumbers\tB\ncut\n", "articles.tsv")
    assert read_sentences(table(tmp_path, TABLE)).topics == ("", "numbers")
    table(tmp_path, "", "articles.tsv")
    assert read_sentences(tmp_path / "sentences.tsv").topics == ("", "")


def test_articles_of_one_sentence_are_left_out_and_said(tmp_path, caplog):
    caplog.set_level("INFO", "wotd_mlx")
    read = read_sentences(table(tmp_path, TABLE + "C\t0\tAlone.\n"))
    assert read.articles == 2
    assert "1 of 3 articles have one sentence, so no next one; left out" in caplog.text
    with pytest.raises(WotdError, match=r"holds no article of two sentences or more"):
        read_sentences(table(tmp_path, "article_id\tsentence\nA\tOne.\nB\tOne.\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\nOne.\n", "the first line is 'sentence', without 'article_id'; expected a header such as"),
        ("a\tb\n", r"the first line is 'a\\tb', without 'article_id', 'sentence'; .*; give a TSV with the columns"),
        ("", "the first line is '', without 'article_id', 'sentence'"),
        (TABLE.partition("\n")[2], r"the first line is 'A\\t0\\tOne\.', without 'article_id', 'sentence'"),
        ("article_id\tsentence\tsentence\nA\tOne.\tTwo.\n", "expected different names, none empty"),
        (TABLE + "B\t2\t \n", "sentences.tsv:6: the sentence is empty; remove the line"),
        (TABLE + "B\t2\n", "sentences.tsv:6: 2 cells, the header has 3"),
        (TABLE + "B\t2\ta\tb\n", "sentences.tsv:6: 4 cells, the header has 3"),
        (TABLE + "B\t-1\tFive.\n", "sentences.tsv:6: sent_idx is '-1', expected a whole number"),
        (TABLE + "B\t1.5\tFive.\n", "sentences.tsv:6: sent_idx is '1.5'"),
        (TABLE + "B\t٣\tFive.\n", "sentences.tsv:6: sent_idx is '٣'"),
        (TABLE + "B\t\tFive.\n", "sentences.tsv:6: sent_idx is ''"),
        (TABLE + "B\t9999999999\tFive.\n", "sentences.tsv:6: sent_idx is '9999999999'"),
        (b"article_id\tsentence\nA\t\xff\n", r"sentences.tsv: not UTF-8 \(byte 23\)"),
        ("article_id\tsentence\n", "holds no article of two sentences or more"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text, message):
    with pytest.raises(WotdError, match=message):
        read_sentences(table(tmp_path, text))


def test_a_text_is_an_article_and_a_folder_several(tmp_path):
    text = '\ufeffDr No came. "Was it (he?)" It was!\nA line\ngoes on.\n\nA paragraph without a stop\n\n3.5 mm is thin.'
    table(tmp_path, text, "one.txt")
    table(tmp_path, "First.\r\n\r\nSecond.\r\n", "two.txt")
    table(tmp_path, "Alone.", "alone.txt")
    table(tmp_path, "", "empty.txt")
    table(tmp_path, "no text", "other.csv")
    one = read_sentences(tmp_path / "one.txt")
    said = ["Dr No came.", '"Was it (he?)"', "It was!", "A line goes on."]
    assert articles_of(one) == [[*said, "A paragraph without a stop", "3.5 mm is thin."]]
    both = read_sentences(tmp_path)
    assert both.titles == ("one", "two")
    assert articles_of(both)[1] == ["First.", "Second."]


def test_no_file_and_a_folder_without_texts_are_refused(tmp_path):
    for name in ("gone.tsv", "gone.txt"):
        with pytest.raises(MissingError, match=rf"no file .*{name}; give a TSV with the columns article_id, sentence"):
            read_sentences(tmp_path / name)
    table(tmp_path, TABLE)
    with pytest.raises(MissingError, match=r"has no \.txt files; .*give the TSV itself"):
        read_sentences(tmp_path)


@pytest.mark.parametrize("name", ["data.tsv", "data.txt", "texts/a.txt"])
def test_a_pipe_or_a_device_is_refused(tmp_path, name):
    """Neither might ever end."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    for make, what in ((os.mkfifo, "a pipe"), (lambda file: file.symlink_to("/dev/zero"), "a device")):
        make(file)
        with pytest.raises(WotdError, match=rf"{file.name} is {what}, expected a file; give a TSV"):
            read_sentences(file if file.parent == tmp_path else file.parent)
        file.unlink()


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1, max_size=20)
ARTICLES = st.lists(
    st.lists(CELLS.filter(str.strip), min_size=2, max_size=5), min_size=1, max_size=5
)  # fmt: skip


@given(written=ARTICLES, shuffled=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_what_is_written_is_read(written, shuffled):
    rows = [(f"id {n}", str(place), text) for n, texts in enumerate(written) for place, text in enumerate(texts)]
    first = {row[0]: n for n, row in reversed(list(enumerate(rows)))}
    shuffled.shuffle(rows)
    order = list(dict.fromkeys(row[0] for row in rows))
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
    writer.writerows([("article_id", "sent_idx", "sentence"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        read = read_sentences(table(Path(folder), out.getvalue()))
    assert len(first) == read.articles
    assert read.titles == tuple(order)
    assert articles_of(read) == [written[int(key.split()[1])] for key in order]


@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"article_id\tsentence\n", TABLE.encode()]))
@example(content=b"\x00", head=b"article_id\tsentence\n")
@example(content=b'A\t"\nA\t"', head=b"article_id\tsentence\n")
@example(content=b"\rA\t7\tx\r\n\x85\x1c", head=TABLE.encode())
@settings(max_examples=150)
def test_any_bytes_are_read_or_refused(content, head):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data.tsv", "data.txt"):
            try:
                read = read_sentences(table(Path(folder), head + content, name))
            except WotdError:
                continue
            assert len(read) == read.starts[-1] >= 2
            assert (np.diff(read.starts) > 1).all()
            assert all(text.strip() for text in read.texts)


@pytest.mark.parametrize("count", [3, 4, 20, 101])
def test_a_split_deals_out_each_article_once_and_always_alike(count):
    sentences = many(*[2] * count)
    split = split_by_article(sentences)
    parts = [split.train, split.valid, split.test]
    assert min(map(len, parts)) >= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    for one, other in zip(parts, vars(split_by_article(sentences)).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    if count > 100:
        assert [len(part) for part in parts] == [86, 10, 5]


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(WotdError, match="the data has 1 article of two sentences or more; training, validation and"):
        split_by_article(many(2))
    with pytest.raises(WotdError, match=r"valid 0\.6 and test 0\.4 of 10 articles leave none to train on"):
        split_by_article(many(*[2] * 10), 0.6, 0.4)


def test_rows_are_those_of_the_articles_that_have_enough_before_them():
    np.testing.assert_array_equal(many(3, 2, 4).rows(np.array([0, 2]), after=1), [1, 2, 6, 7, 8])
