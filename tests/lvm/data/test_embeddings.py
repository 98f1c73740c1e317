"""The embeddings of the sentences: whole or refused, embedded once, gone on with after a kill."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_checkpoint
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.io.lock import locked
from wotd_mlx.lvm.data import embeddings as store
from wotd_mlx.lvm.data.embeddings import check, digest, sentence_embeddings
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.schemas import BusyError, WotdError

TEXTS = Sentences(("red", "green", "blue", "red again", "no"), np.array([0, 3, 5]), ("a", "b"), ("", ""))


def test_sentences_are_embedded_once(checkpoint, tmp_path, monkeypatch):
    found = sentence_embeddings(TEXTS, str(checkpoint), tmp_path)
    assert found.shape == (5, 32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert {file.name for file in tmp_path.iterdir()} == {".lock", f"{digest(TEXTS, str(checkpoint))}.npy"}
    monkeypatch.setattr(BertEmbedder, "embed", None)
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path), found)


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
        sentence_embeddings(TEXTS, str(checkpoint), folder)
    embedded = []
    monkeypatch.setattr(BertEmbedder, "embed", lambda self, t, *a: [embedded.extend(t), embed(self, t, *a)][1])
    return embedded


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_embedding_goes_on_where_it_was_killed(checkpoint, tmp_path, monkeypatch, blocks):
    monkeypatch.setattr(store, "_BLOCK", 2)  # other blocks are other sums, in the last digit
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "whole")
    embedded = killed_after(blocks, monkeypatch, checkpoint, tmp_path / "killed")
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "killed"), whole)
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
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "whole")
    embedded = killed_after(1, monkeypatch, checkpoint, tmp_path / "killed")
    file = (tmp_path / "killed" / digest(TEXTS, str(checkpoint))).with_suffix(suffix)
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "killed"), whole)
    assert embedded == list(TEXTS.texts)


def test_a_count_that_outlived_its_embeddings_is_not_believed(checkpoint, tmp_path, monkeypatch):
    """Left by a kill after the last rename; the embeddings were removed, and their making was killed at once."""
    folder = tmp_path / "killed"
    killed_after(2, monkeypatch, checkpoint, folder)
    (folder / digest(TEXTS, str(checkpoint))).with_suffix(".part").unlink()
    monkeypatch.undo()
    killed_after(0, monkeypatch, checkpoint, folder)
    monkeypatch.undo()
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "whole")
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), folder), whole)


def test_a_full_disk_is_an_error_and_loses_nothing(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_BLOCK", 2)
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "whole")
    synced = []

    def full(handle):
        synced.append(handle)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as short:
        short.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "full")
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "full"), whole)


def test_two_do_not_embed_into_one_folder(checkpoint, tmp_path):
    with locked(tmp_path), pytest.raises(BusyError, match=r"another training is writing to .*; wait for it"):
        sentence_embeddings(TEXTS, str(checkpoint), tmp_path)


def test_another_model_under_the_same_name_is_not_mixed_in(checkpoint, tmp_path, monkeypatch):
    """A killed embedding goes on only with as many numbers an embedding as it began with."""
    killed_after(1, monkeypatch, checkpoint, tmp_path / "killed")
    wide = write_checkpoint(tmp_path / "wide", width=48)
    name = digest(TEXTS, str(wide))
    for file in (tmp_path / "killed").glob("[!.]*"):
        file.rename(file.with_stem(name))
    assert sentence_embeddings(TEXTS, str(wide), tmp_path / "killed").shape == (5, 48)


def test_what_a_kill_left_of_other_vectors_is_removed(checkpoint, tmp_path, monkeypatch, caplog):
    """Of texts or a model that have changed since; what these embeddings can go on from stays, and so do whole ones."""
    caplog.set_level("INFO", logger="wotd_mlx")
    killed_after(1, monkeypatch, checkpoint, tmp_path)
    kept = digest(TEXTS, str(checkpoint))
    for name in ("0" * 16 + ".part", "0" * 16 + ".json", "1" * 16 + ".npy", "notes.json"):
        (tmp_path / name).touch()
    embedded = killed_after(0, monkeypatch, checkpoint, tmp_path)
    left = {f"{kept}.part", f"{kept}.json", "1" * 16 + ".npy", "notes.json", ".lock"}
    assert {file.name for file in tmp_path.iterdir()} == left
    assert caplog.text.count("begun and never finished") == 2
    sentence_embeddings(TEXTS, str(checkpoint), tmp_path)
    assert embedded == list(TEXTS.texts[2:])
    assert {file.name for file in tmp_path.iterdir()} == {f"{kept}.npy", "1" * 16 + ".npy", "notes.json", ".lock"}


def test_a_count_left_beside_whole_vectors_is_removed(checkpoint, tmp_path):
    """By a kill just after the last rename."""
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.with_suffix(".json").write_text('{"rows": 5}')
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path), whole)
    assert not file.with_suffix(".json").exists()


@pytest.mark.parametrize("suffix", [".part", ".json"])
@pytest.mark.parametrize("put", [os.mkfifo, lambda file: file.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_gone_on_from(checkpoint, tmp_path, monkeypatch, suffix, put):
    monkeypatch.setattr(store, "_BLOCK", 2)
    whole = sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "whole")
    killed_after(1, monkeypatch, checkpoint, tmp_path / "killed")
    file = (tmp_path / "killed" / digest(TEXTS, str(checkpoint))).with_suffix(suffix)
    file.unlink()
    put(file)
    np.testing.assert_array_equal(sentence_embeddings(TEXTS, str(checkpoint), tmp_path / "killed"), whole)
    assert [file.suffix for file in (tmp_path / "killed").glob("[!.]*")] == [".npy"]


def test_vectors_of_other_numbers_are_others(tmp_path):
    """A training on embeddings that were made again under the same name must not be gone on with."""
    file = tmp_path / "x.npy"
    np.save(file, unit())
    first = digest(TEXTS, str(file))
    assert digest(TEXTS, str(file)) == first
    np.save(file, -unit())
    assert digest(TEXTS, str(file)) != first


def test_vectors_of_a_folder_whose_weights_changed_are_others(checkpoint, tmp_path):
    folder = write_checkpoint(tmp_path / "model", width=32)
    first = digest(TEXTS, str(folder))
    sentence_embeddings(TEXTS, str(folder), tmp_path / "out")
    write_checkpoint(tmp_path / "model", width=48)
    assert digest(TEXTS, str(folder)) != first
    assert sentence_embeddings(TEXTS, str(folder), tmp_path / "out").shape == (5, 48)


def test_other_texts_or_models_have_other_names():
    assert len({digest(TEXTS, "a"), digest(TEXTS, "b"), digest(replace(TEXTS, texts=("no",) * 5), "a")}) == 3
    assert digest(TEXTS, "a") == digest(replace(TEXTS, titles=("", "")), "a")


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
        (changed(unit(), 3, np.nan), r"embedding 3 of 5 is not finite \(1 such\); embed it again"),
        (changed(unit(), slice(1, 3), np.inf), r"embedding 1 of 5 is not finite \(2 such\)"),
        (unit(4), r"holds float32 of shape \(4, 4\); expected float32 of shape \(5, D\)"),
        (unit().astype(np.float64), r"holds float64 of shape \(5, 4\); expected float32"),
        (unit().astype(np.float16), "holds float16"),
        (unit()[0], r"holds float32 of shape \(4,\)"),
        (unit()[None], r"holds float32 of shape \(1, 5, 4\)"),
        (unit()[:, :0], r"shape \(5, 0\)|can't be read"),
        (unit().astype(object), r"can't be read as \.npy"),
        (
            changed(unit(), 2, unit()[2] * 3),
            r"embedding 2 of 5 has length 3, expected 1 \(1 such\); divide",
        ),
        (changed(unit(), 2, 0), r"embedding 2 of 5 has length 0, expected 1"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, x, message):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(WotdError, match=rf"x\.npy.*({message})"):
        sentence_embeddings(TEXTS, str(tmp_path / "x.npy"), tmp_path)


def test_a_fault_past_the_first_block_is_named(tmp_path):
    x = changed(unit(9000), 8999, np.nan)
    with pytest.raises(WotdError, match=r"here: embedding 8999 of 9000 is not finite"):
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
        sentence_embeddings(TEXTS, str(tmp_path / "x.npy"), tmp_path)


def with_head(head: bytes, version: bytes = b"\x01\x00") -> bytes:
    size = len(head).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + head + bytes(5 * 4 * 4)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04K\x05.",
        b"PK\x05\x06" + bytes(18),
        with_head(b"{'descr': '|O', 'fortran_order': False, 'shape': (5, 4), }"),
        with_head(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"),
        with_head(b"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
        with_head(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-5, -4), }"),
        with_head(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1e9, 4), }"),
        with_head(b"(" * 9_000, b"\x02\x00"),
        with_head(b" " * 2_000_000, b"\x02\x00"),
    ],
    ids=["pickle", "zip", "objects", "huge", "overflow", "negative", "float", "deep", "long"],
)
def test_a_head_that_is_no_table_of_numbers_is_one_line(tmp_path, content, recwarn):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(WotdError, match=r"x\.npy (can't be read as \.npy|holds float64)") as caught:
        sentence_embeddings(TEXTS, str(tmp_path / "x.npy"), tmp_path)
    assert "\n" not in str(caught.value)
    assert not recwarn.list


@pytest.mark.parametrize("call", [sentence_embeddings, lambda texts, embedding, folder: digest(texts, embedding)])
def test_vectors_that_are_no_file_are_refused(tmp_path, call):
    file = tmp_path / "x.npy"
    for make, what in ((lambda file: None, "no file"), (Path.mkdir, "is a folder"), (os.mkfifo, "is a pipe")):
        make(file)
        with pytest.raises(WotdError, match=rf"{what}.*; give a \.npy file of shape \(sentences, D\)") as caught:
            call(TEXTS, str(file), tmp_path)
        assert isinstance(caught.value, FileNotFoundError) == (what == "no file")
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)


@given(place=st.integers(0, 127), value=st.integers(0, 255))
@settings(max_examples=150)
def test_a_damaged_head_is_refused_or_harmless(place, value):
    content = bytearray(npy())
    content[place] = value
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.npy"
        file.write_bytes(content)
        try:
            found = sentence_embeddings(TEXTS, str(file), Path(folder))
        except WotdError:
            return
        assert found.shape == (5, 4)


def test_a_cached_file_that_is_damaged_is_named(checkpoint, tmp_path):
    sentence_embeddings(TEXTS, str(checkpoint), tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WotdError, match=rf"{file.name} can't be read as \.npy"):
        sentence_embeddings(TEXTS, str(checkpoint), tmp_path)


def test_what_is_wrong_is_named_by_its_row_in_files_of_many_blocks():
    x = np.ones((20_000, 1), np.float32)
    assert check(x, 20_000, "x") is x
    for rows in (19_999, 20_001):
        with pytest.raises(WotdError, match=rf"x holds float32 of shape \(20000, 1\); expected .* \({rows}, D\)"):
            check(x, rows, "x")
    x[[8191, 8192, 19_999]] = np.inf
    with pytest.raises(WotdError, match=r"x: embedding 8191 of 20000 is not finite \(3 such\)"):
        check(x, 20_000, "x")
