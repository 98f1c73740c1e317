"""The data of predictors: tables and texts of every shape, splits, and vectors that are whole or refused."""

from __future__ import annotations

import csv
import errno
import io
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import write_checkpoint
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.io.lock import locked
from wotd_mlx.lvm.data import vectors as store
from wotd_mlx.lvm.data.sentences import Sentences, read_sentences, split_by_article
from wotd_mlx.lvm.data.vectors import check, digest, sentence_vectors
from wotd_mlx.schemas import WotdError

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
    np.testing.assert_array_equal(read.place, [0, 1, 0, 1])


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
    caplog.set_level("INFO")
    read = read_sentences(table(tmp_path, TABLE + "C\t0\tAlone.\n"))
    assert read.articles == 2
    assert "1 of 3 articles have one sentence, so no next one; left out" in caplog.text
    with pytest.raises(WotdError, match=r"holds no article of two sentences or more"):
        read_sentences(table(tmp_path, "article_id\tsentence\nA\tOne.\nB\tOne.\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\nOne.\n", r"lacks the column article_id; its first line has sentence, expected article_id, sent"),
        ("a\tb\n", "lacks the columns article_id, sentence; its first line has a, b"),
        ("", "lacks the columns article_id, sentence; its first line has nothing"),
        ("article_id,sentence\nA,One.\n", "expected article_id, sentence parted by tabs"),
        (TABLE + "B\t2\t \n", "line 6: the sentence is empty; remove the line"),
        (TABLE + "B\t2\n", "line 6: 2 columns, expected 3 as in the first line"),
        (TABLE + "B\t2\ta\tb\n", "line 6: 4 columns, expected 3"),
        (TABLE + "B\t-1\tFive.\n", "line 6: sent_idx is '-1', expected a whole number"),
        (TABLE + "B\t1.5\tFive.\n", "line 6: sent_idx is '1.5'"),
        (TABLE + "B\t٣\tFive.\n", "line 6: sent_idx is '٣'"),
        (b"article_id\tsentence\nA\t\xff\n", "can't be read as UTF-8 text"),
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
    with pytest.raises(WotdError, match=r"no data file .*gone\.tsv; give a TSV with the columns article_id, sentence"):
        read_sentences(tmp_path / "gone.tsv")
    table(tmp_path, TABLE)
    with pytest.raises(WotdError, match=r"has no \.txt files; .*give the TSV itself"):
        read_sentences(tmp_path)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1, max_size=20)
ARTICLES = st.lists(
    st.lists(CELLS.filter(str.strip), min_size=2, max_size=5), min_size=1, max_size=5
)  # fmt: skip


@given(written=ARTICLES, shuffled=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
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
@settings(max_examples=150, deadline=None)
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


TEXTS = Sentences(("red", "green", "blue", "red again", "no"), np.array([0, 3, 5]), ("a", "b"), ("", ""))


def test_sentences_are_embedded_once(checkpoint, tmp_path, monkeypatch):
    found = sentence_vectors(TEXTS, str(checkpoint), tmp_path)
    assert found.shape == (5, 32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert {file.name for file in tmp_path.iterdir()} == {".lock", f"{digest(TEXTS, str(checkpoint))}.npy"}
    monkeypatch.setattr(BertEmbedder, "embed", None)
    np.testing.assert_array_equal(sentence_vectors(TEXTS, str(checkpoint), tmp_path), found)


def killed_after(blocks, monkeypatch, checkpoint, folder):
    """Embed two sentences at a time until so many pairs are done, and stop as a kill would."""
    monkeypatch.setattr(store, "_BLOCK", 2)
    embed, seen = BertEmbedder.embed, []

    class Killed(BaseException):
        pass

    def dying(self, texts, advance=None):
        if len(seen) == blocks:
            raise Killed
        seen.append(texts)
        return embed(self, texts, advance)

    monkeypatch.setattr(BertEmbedder, "embed", dying)
    with pytest.raises(Killed):
        sentence_vectors(TEXTS, str(checkpoint), folder)
    embedded = []
    monkeypatch.setattr(BertEmbedder, "embed", lambda self, t, *a: [embedded.extend(t), embed(self, t, *a)][1])
    return embedded


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_embedding_goes_on_where_it_was_killed(checkpoint, tmp_path, monkeypatch, blocks):
    monkeypatch.setattr(store, "_BLOCK", 2)  # other blocks are other sums, in the last digit
    whole = sentence_vectors(TEXTS, str(checkpoint), tmp_path / "whole")
    embedded = killed_after(blocks, monkeypatch, checkpoint, tmp_path / "killed")
    np.testing.assert_array_equal(sentence_vectors(TEXTS, str(checkpoint), tmp_path / "killed"), whole)
    assert embedded == list(TEXTS.texts[2 * blocks :])
    assert [file.suffix for file in (tmp_path / "killed").glob("[!.]*")] == [".npy"]


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".json", lambda content: b""),
        (".json", lambda content: b"[]"),
        (".json", lambda content: b'{"rows": 99}'),
        (".json", lambda content: b'{"rows": "2"}'),
        (".part", lambda content: content[:100]),
        (".part", lambda content: content[:-4]),
        (".part", lambda content: b""),
        (".part", lambda content: content.replace(b"(5, 32)", b"(5, 16)")),
    ],
)
def test_what_a_kill_left_damaged_is_embedded_anew(checkpoint, tmp_path, monkeypatch, suffix, damage):
    monkeypatch.setattr(store, "_BLOCK", 2)
    whole = sentence_vectors(TEXTS, str(checkpoint), tmp_path / "whole")
    embedded = killed_after(1, monkeypatch, checkpoint, tmp_path / "killed")
    file = (tmp_path / "killed" / digest(TEXTS, str(checkpoint))).with_suffix(suffix)
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(sentence_vectors(TEXTS, str(checkpoint), tmp_path / "killed"), whole)
    assert embedded == list(TEXTS.texts)


def test_a_count_that_outlived_its_vectors_is_not_believed(checkpoint, tmp_path, monkeypatch):
    """Left by a kill after the last rename; the vectors were removed, and embedding them again was killed at once."""
    folder = tmp_path / "killed"
    killed_after(2, monkeypatch, checkpoint, folder)
    (folder / digest(TEXTS, str(checkpoint))).with_suffix(".part").unlink()
    monkeypatch.undo()
    killed_after(0, monkeypatch, checkpoint, folder)
    monkeypatch.undo()
    whole = sentence_vectors(TEXTS, str(checkpoint), tmp_path / "whole")
    np.testing.assert_array_equal(sentence_vectors(TEXTS, str(checkpoint), folder), whole)


def test_a_full_disk_is_an_error_and_loses_nothing(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_BLOCK", 2)
    whole = sentence_vectors(TEXTS, str(checkpoint), tmp_path / "whole")
    synced = []

    def full(handle):
        synced.append(handle)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as short:
        short.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            sentence_vectors(TEXTS, str(checkpoint), tmp_path / "full")
    np.testing.assert_array_equal(sentence_vectors(TEXTS, str(checkpoint), tmp_path / "full"), whole)


def test_two_do_not_embed_into_one_folder(checkpoint, tmp_path):
    with locked(tmp_path), pytest.raises(WotdError, match=r"another training is writing to .*; wait for it"):
        sentence_vectors(TEXTS, str(checkpoint), tmp_path)


def test_another_model_under_the_same_name_is_not_mixed_in(checkpoint, tmp_path, monkeypatch):
    """A killed embedding goes on only with as many numbers a vector as it began with."""
    killed_after(1, monkeypatch, checkpoint, tmp_path / "killed")
    wide = write_checkpoint(tmp_path / "wide", width=48)
    name = digest(TEXTS, str(wide))
    for file in (tmp_path / "killed").glob("[!.]*"):
        file.rename(file.with_stem(name))
    assert sentence_vectors(TEXTS, str(wide), tmp_path / "killed").shape == (5, 48)


def test_other_texts_or_models_have_other_names():
    assert len({digest(TEXTS, "a"), digest(TEXTS, "b"), digest(many(3, 2), "a")}) == 3
    assert digest(TEXTS, "a") == digest(many(3, 2).__class__(TEXTS.texts, TEXTS.starts, ("", ""), ("", "")), "a")


def unit(rows=5, dims=4):
    x = np.random.default_rng(0).normal(size=(rows, dims))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def changed(x, row, value):
    x = x.copy()
    x[row] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (changed(unit(), 3, np.nan), r"vector 3 of 5 is not finite \(1 such\); embed it again"),
        (changed(unit(), slice(1, 3), np.inf), r"vector 1 of 5 is not finite \(2 such\)"),
        (unit(4), r"holds float32 of shape \(4, 4\); expected float32 of shape \(5, D\)"),
        (unit().astype(np.float64), r"holds float64 of shape \(5, 4\); expected float32"),
        (unit().astype(np.float16), "holds float16"),
        (unit()[0], r"holds float32 of shape \(4,\)"),
        (unit()[None], r"holds float32 of shape \(1, 5, 4\)"),
        (unit()[:, :0], r"shape \(5, 0\)|can't be read"),
        (unit().astype(object), r"can't be read as \.npy"),
        (
            changed(unit(), 2, unit()[2] * 3),
            r"vector 2 of 5 has length 3, expected 1 \(1 such\); divide",
        ),
        (changed(unit(), 2, 0), r"vector 2 of 5 has length 0, expected 1"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, x, message):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(WotdError, match=rf"x\.npy.*({message})"):
        sentence_vectors(TEXTS, str(tmp_path / "x.npy"), tmp_path)


def test_a_fault_past_the_first_block_is_named(tmp_path):
    x = changed(unit(9000), 8999, np.nan)
    with pytest.raises(WotdError, match=r"here: vector 8999 of 9000 is not finite"):
        check(x, 9000, "here")
    assert check(unit(9000), 9000, "here").shape == (9000, 4)


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, unit())
    return out.getvalue()


@pytest.mark.parametrize("kept", [0, 3, 6, 30, 100, 128, 150, len(npy()) - 1])
def test_a_file_of_vectors_that_is_cut_short_is_refused(tmp_path, kept):
    (tmp_path / "x.npy").write_bytes(npy()[:kept])
    with pytest.raises(WotdError, match=r"x\.npy can't be read as \.npy .*; remove it, or embed the sentences again"):
        sentence_vectors(TEXTS, str(tmp_path / "x.npy"), tmp_path)
    with pytest.raises(WotdError, match=r"no vectors .*gone\.npy; expected a \.npy file of shape \(sentences, D\)"):
        sentence_vectors(TEXTS, str(tmp_path / "gone.npy"), tmp_path)


@given(place=st.integers(0, 127), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_head_is_refused_or_harmless(place, value):
    content = bytearray(npy())
    content[place] = value
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        file.write_bytes(content)
        try:
            found = sentence_vectors(TEXTS, str(file), Path(folder))
        except WotdError:
            return
        assert found.shape == (5, 4)


def test_a_cached_file_that_is_damaged_is_named(checkpoint, tmp_path):
    sentence_vectors(TEXTS, str(checkpoint), tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WotdError, match=rf"{file.name} can't be read as \.npy"):
        sentence_vectors(TEXTS, str(checkpoint), tmp_path)
