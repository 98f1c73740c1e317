"""Texts to vectors: order, duplicates, batches, and what no text may break."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.embed import embedder as module
from wotd_mlx.embed.cache import EmbeddingCache
from wotd_mlx.embed.embedder import BertEmbedder, passes

ODD = ["", " ", "\x00", "a\x00b", "\ud800", "x\udfffy", "é" * 9, "日本語", "😀", "a" * 5000, "b c " * 300]


@pytest.fixture(scope="module")
def tiny(checkpoint) -> BertEmbedder:
    return BertEmbedder(str(checkpoint))


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 200), st.integers(1, 4))
def test_passes_hold_every_row_once_in_runs_of_one_length(lengths, tokens, lanes):
    found = passes(lengths, tokens, lanes)
    assert sorted(row for runs in found for run in runs for row in run) == list(range(len(lengths)))
    for runs in found:
        sizes = [lengths[row] for run in runs for row in run]
        assert sum(sizes) <= max(tokens, *sizes)
        assert all(len({lengths[row] for row in run}) == 1 for run in runs)
        assert sizes == sorted(sizes, reverse=True)


def test_passes_share_the_work_evenly():
    found = passes([3] * 150 + [4] * 60 + [5] * 25 + [6] * 10, 1024, 2)
    work = [sum(len(run) for run in runs) for runs in found]
    assert len(found) == 2
    assert min(work) > 0.4 * sum(work)


def test_no_texts(tiny):
    assert tiny.embed([]).shape == (0, tiny.dims)


def test_one_text_instead_of_a_list_is_refused(tiny):
    with pytest.raises(TypeError, match="list of texts"):
        tiny.embed("word")


def test_odd_texts_have_unit_vectors(tiny):
    vectors = tiny.embed(ODD)
    assert vectors.shape == (len(ODD), tiny.dims)
    close(np.linalg.norm(vectors, axis=1), np.ones(len(ODD), np.float32), "sum_order")


def test_a_lone_surrogate_counts_as_the_replacement_character_and_a_nul_as_nothing(tiny):
    close(tiny.embed(["x\udfffy", "a\x00b"]), tiny.embed(["x\ufffdy", "ab"]), "batch")


@settings(max_examples=25)
@given(texts=st.lists(st.text("abc \n", max_size=30), min_size=1, max_size=40), data=st.data())
def test_a_vector_depends_on_its_text_alone(tiny, texts, data):
    vectors = tiny.embed(texts)
    row = data.draw(st.integers(0, len(texts) - 1))
    close(tiny.embed([texts[row]])[0], vectors[row], "batch")
    shuffled = data.draw(st.permutations(range(len(texts))))
    close(tiny.embed([texts[i] for i in shuffled]), vectors[list(shuffled)], "batch")


def test_small_passes_change_nothing(checkpoint, tiny):
    texts = [("abc def " * (i % 9))[: 5 * i] for i in range(120)]
    close(BertEmbedder(str(checkpoint), tokens=17).embed(texts), tiny.embed(texts), "batch")


def test_padded_batches_change_nothing(checkpoint, tiny):
    padded = BertEmbedder(str(checkpoint))
    padded.multiple = 8
    texts = [("abc def " * (i % 9))[: 5 * i] for i in range(40)]
    close(padded.embed(texts), tiny.embed(texts), "batch")


def test_equal_texts_are_computed_once(checkpoint, monkeypatch):
    embedder = BertEmbedder(str(checkpoint))
    seen: list[str] = []
    compute = embedder._compute
    monkeypatch.setattr(embedder, "_compute", lambda texts, done: seen.extend(texts) or compute(texts, done))
    vectors = embedder.embed(["a", "b", "a", "a"])
    assert seen == ["a", "b"]
    close(vectors[0], vectors[3], "exact")


@pytest.mark.parametrize("cached", [0, 3, 8])
def test_progress_sums_to_the_texts(checkpoint, tmp_path, cached):
    texts = ["a", "b", "a", "cc", "dd", "eee", "f", "g"]
    embedder = BertEmbedder(str(checkpoint), EmbeddingCache(tmp_path / "c.sqlite"), tokens=8)
    embedder.embed(texts[:cached])
    steps: list[int] = []
    embedder.embed(texts, steps.append)
    assert sum(steps) == len(texts)
    assert all(step > 0 for step in steps)


def test_a_cached_vector_is_the_computed_one(checkpoint, tmp_path, monkeypatch):
    first = BertEmbedder(str(checkpoint), EmbeddingCache(tmp_path / "c.sqlite"))
    vectors = first.embed(ODD)
    second = BertEmbedder(str(checkpoint), EmbeddingCache(tmp_path / "c.sqlite"))
    monkeypatch.setattr(second, "_compute", None)
    close(second.embed(ODD[::-1]), vectors[::-1], "exact")


def test_another_checkpoint_in_the_same_folder_is_not_the_cached_one(tmp_path):
    from tests.conftest import write_checkpoint

    cache = EmbeddingCache(tmp_path / "c.sqlite")
    vectors = []
    for seed in (0, 1):
        folder = write_checkpoint(tmp_path / "model", seed=seed)
        vectors.append(BertEmbedder(str(folder), cache).embed(["word"]))
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_threads_may_share_an_embedder(tiny):
    texts = [f"word {'abcdefgh'[i % 8] * (i % 13)}" for i in range(200)]
    want = tiny.embed(texts)
    got: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        for _ in range(3):
            got[number] = tiny.embed(texts)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    for vectors in got.values():
        close(vectors, want, "batch")


def test_a_lone_text_is_the_same_before_and_after_compiling(checkpoint):
    embedder = BertEmbedder(str(checkpoint))
    runs = [embedder.embed(["abc"]) for _ in range(module._LONE_TEXTS + 2)]
    for vectors in runs[1:]:
        close(vectors, runs[0], "batch")


def test_a_text_of_megabytes_is_cut_before_it_is_tokenised(checkpoint, monkeypatch):
    embedder = BertEmbedder(str(checkpoint))
    seen = list[int]()

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def encode(self, text: str) -> object:
            seen.append(len(text))
            return tokenizer.encode(text)

        def encode_batch_fast(self, texts: list[str]) -> object:
            seen.extend(map(len, texts))
            return tokenizer.encode_batch_fast(texts)

    tokenizer = embedder.tokenizer
    monkeypatch.setattr(embedder, "tokenizer", Watched())
    long = ["word " * 400_000, "x" * 2_000_000, "日" * 100_000]
    vectors = embedder.embed([*long, "word " * 400])
    assert embedder.truncated([*long, "word"]) == [True, True, True, False]
    assert max(seen) == 32_768
    close(vectors[0], vectors[3], "ids")
