"""The contrast against NumPy, the packing of texts, and a tuning that learns, goes on after a kill, and repeats."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.embed.tuning.test_pairs import pairs
from tests.tolerances import close
from tests.training.interrupt import killed_before
from wotd_mlx.config.tuning import TuningConfig
from wotd_mlx.embed.bert import Group, load_bert
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.tuning.task import TuningTask, contrast, divergence
from wotd_mlx.embed.tuning.tune import tune
from wotd_mlx.io.safetensors import named
from wotd_mlx.kernels import threads
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.checkpoint import Checkpoint


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_the_contrast_is_the_papers_in_both_directions():
    rng = np.random.default_rng(0)
    q, d, alike = unit(rng, 5, 8), unit(rng, 7, 8), rng.random((5, 7)) < 0.3
    np.fill_diagonal(alike, True)
    s = np.exp(20 * q @ d.T)
    want = 0.0
    for i in range(5):
        rows = sum(s[i, j] for j in range(7) if not alike[i, j])
        columns = sum(s[j, i] for j in range(5) if not alike[j, i])
        want -= np.log(s[i, i] / (s[i, i] + rows)) + np.log(s[i, i] / (s[i, i] + columns))
    got = contrast(mx.array(q, mx.float32), mx.array(d, mx.float32), mx.array(alike), 20.0)
    close(got, np.float32(want / 10), "sum_order")


def test_the_divergence_is_kullback_and_leiblers():
    rng = np.random.default_rng(1)
    now, then = unit(rng, 6, 8), unit(rng, 6, 8)
    want = 0.0
    for i in range(6):
        p, q = (np.exp(20 * np.delete(v @ v[i], i)) for v in (then, now))
        p, q = p / p.sum(), q / q.sum()
        want += (p * np.log(p / q)).sum() / 6
    close(divergence(mx.array(now, mx.float32), mx.array(then, mx.float32), 20.0), np.float32(want), "sum_order")
    close(divergence(mx.array(then, mx.float32), mx.array(then, mx.float32), 20.0), np.float32(0), "sum_order")


def task_on(checkpoint: Path, **settings: object) -> TuningTask:
    given = {"pairs": 24, "steps": 12, "rank": 4, "groups": 3, "evaluations": 3, "learning_rate": 3e-3, **settings}
    cfg = TuningConfig(**given)
    return TuningTask(BertEmbedder(str(checkpoint)), pairs(), cfg)


@pytest.mark.parametrize("kind", ["word_gloss", "synonyms", "glosses", "named"])
def test_packed_texts_come_out_in_their_order(checkpoint, kind):
    task = task_on(checkpoint)
    batch = task.pairs.draw(kind, 24, np.random.default_rng(5))
    alike, order, *groups = task.packed(batch, task.lengths[kind])
    *_, vectors = task.model.ragged([Group(*pair) for pair in zip(groups[::2], groups[1::2], strict=True)])
    texts = [*batch.queries, *batch.documents]
    want = BertEmbedder(str(checkpoint)).embed(texts)
    longest = max(task.lengths[kind])
    whole = [i for i, text in enumerate(texts) if len(task.tokenizer.encode(text).ids) <= longest]
    close(np.array(vectors[order])[whole], want[whole], "embedding")
    close(alike, batch.alike, "ids")


@given(st.lists(st.integers(2, 30), min_size=24, max_size=24), st.integers(0, 9))
def test_all_steps_of_a_kind_have_one_shape(checkpoint, sizes, seed):
    """Whatever the lengths of the texts are: another shape would be traced anew."""
    task = task_on(checkpoint)
    task._tokens = lambda batch: [[2, *[5] * (sizes[i % 24] - 2), 3] for i in range(48)]
    batch = task.pairs.draw("named", 24, np.random.default_rng(seed))
    *_, last_ids, last_mask = task.packed(batch, [4, 9, 16])
    assert [last_ids.shape, last_mask.shape] == [(16, 16)] * 2
    # What is cut keeps the mark of its end.
    ends = np.array(last_ids)[np.arange(16), np.array(last_mask).sum(axis=1).astype(int) - 1]
    assert (ends == 3).all()


def test_a_tuning_learns_what_it_sees_again(checkpoint):
    task = task_on(checkpoint, steps=40, evaluations=4, keep=0.0, learning_rate=1e-2)
    parts = [task.packed(task.pairs.draw("word_gloss", 24, np.random.default_rng(0)), task.lengths["word_gloss"])]
    task.batches = lambda epoch, start: iter([parts] * 40)
    history = tune(task, compiled=False)
    assert len(history) == 4
    assert history[-1] < 0.7 * history[0]


def test_each_product_is_computed_in_one_thread(checkpoint):
    """Or the bytes would depend on the number of cores."""
    if threads.override() is None:
        pytest.skip("the BLAS here isn't the one that needs to be told")
    with task_on(checkpoint).computing():
        assert threads.blas_threads() == 1


def test_what_is_kept_of_the_plain_encoder_holds_it(checkpoint):
    """With all the weight on the divergence a random start's contrast hardly moves the vectors."""
    moved = []
    for keep in (0.0, 0.95):
        task = task_on(checkpoint, steps=12, keep=keep)
        tune(task, compiled=False)
        texts = ["bab", "dog", "fin"]
        ids = mx.array([task.tokenizer.encode(text).ids for text in texts])
        _, plain = load_bert(checkpoint, "mean")
        moved.append(float(mx.abs(task.model(ids) - plain(ids)).mean()))
    assert moved[1] < 0.7 * moved[0]


def test_a_tuning_that_was_killed_goes_on_to_the_same_delta(checkpoint, tmp_path):
    def run(file: Path | None) -> dict[str, mx.array]:
        task = task_on(checkpoint)
        tune(task, Checkpoint(file, {"settings": "these"}, "remove it") if file else None, compiled=False)
        return named(task.model.trainable_parameters())

    whole = run(None)
    with killed_before(7):
        run(tmp_path / "checkpoint.safetensors")
    again = run(tmp_path / "checkpoint.safetensors")
    assert all((np.array(whole[name]) == np.array(again[name])).all() for name in whole)


@pytest.mark.parametrize(
    ("settings", "told"), [({"kinds": {"synonyms": -1.0}}, "kinds"), ({"pairs": 0}, "pairs"), ({"keep": 1.0}, "keep")]
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(WotdError, match=told):
        TuningConfig(**settings)
