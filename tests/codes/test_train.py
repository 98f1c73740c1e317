"""Splits, labels, training: families stay together, the loss falls, the same seed gives the same codes."""

from __future__ import annotations

import logging

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from tests.training.interrupt import killed_before
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights, label_matrix, read_labels_off_codes
from wotd_mlx.codes.split import split_by_family
from wotd_mlx.codes.task import Epoch
from wotd_mlx.codes.train import Texts, fit, training_steps, warn_of_collapse
from wotd_mlx.config import CodesConfig, TrainingConfig
from wotd_mlx.io.safetensors import named
from wotd_mlx.schemas import Attribute, Word, WotdError
from wotd_mlx.training.checkpoint import Checkpoint
from wotd_mlx.words.families import family

ATTRIBUTES = (Attribute("size", ("small", "large")), Attribute("hue", ("red", "green", "blue")))


def toy(n: int = 1200, dims: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, dims) of which two directions tell the labels; a third of the labels is absent."""
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 2, n), rng.integers(0, 3, n)], axis=1)
    x = rng.normal(size=(n, dims)).astype(np.float32)
    x[:, 0] += 4 * labels[:, 0]
    x[:, 1] += 4 * labels[:, 1]
    labels[rng.random(labels.shape) < 1 / 3] = -1
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), labels


def split_rows(n: int):
    from wotd_mlx.codes.split import Split

    rows = np.arange(n)
    return Split(rows[: n // 2], rows[n // 2 : 3 * n // 4], rows[3 * n // 4 :])


def train(
    kind: str = "fsq", checkpoint: Checkpoint | None = None, **settings_
) -> tuple[Autoencoder, list[Epoch], np.ndarray, np.ndarray]:
    x, labels = toy()
    cfg = CodesConfig(
        **{
            "kind": kind,
            "levels": (4, 4, 4, 4),
            "latent": 8,
            "hidden": 32,
            "epochs": 8,
            "batch": 100,
            **settings_,
        }
    )
    mx.random.seed(0)
    model = Autoencoder(16, cfg, ATTRIBUTES)
    return model, list(fit(model, x, labels, split_rows(len(x)), cfg, 0, checkpoint=checkpoint)), x, labels


def test_a_reader_learns_from_texts_own_embeddings_what_vectors_do_not_say_by_either_vector():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (1500, 1))
    x, guessed, own = (rng.normal(size=(1500, 16)).astype(np.float32) for _ in range(3))
    own[:, 3] += 4 * labels[:, 0]
    cfg = CodesConfig("hvq", (4, 4, 32))
    model = Autoencoder(16, cfg, [Attribute("size", ("small", "large"))])
    steps, split = [], split_rows(1500)
    list(fit(model, x, labels, split, cfg, 0, steps.append, texts=Texts(own, guessed)))
    assert sum(steps) == training_steps(model, cfg, len(split.train), labels[split.train], texts=True)
    held = split.test
    for vectors in (x, guessed):
        z = mx.array(vectors[held])
        with_own = np.array(model.posteriors(z, mx.array(own[held]))[0]).argmax(axis=1)
        without = np.array(model.posteriors(z)[0]).argmax(axis=1)
        assert (with_own == labels[held, 0]).mean() > 0.9
        assert (without == labels[held, 0]).mean() < 0.7


@given(st.lists(st.text(max_size=8), min_size=3, max_size=200), st.integers(0, 99))
@settings(max_examples=60)
def test_no_family_is_in_two_parts_and_no_word_is_lost(words, seed):
    config = TrainingConfig(seed=seed)
    if len({family(w) for w in words}) < 3:
        with pytest.raises(WotdError, match="families"):
            split_by_family(words, config)
        return
    split = split_by_family(words, config)
    parts = [split.train, split.valid, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(words)))
    assert all(len(part) for part in parts)
    families = [{family(words[i]) for i in part} for part in parts]
    assert sum(map(len, families)) == len(set.union(*families))


def test_split_has_the_shares_asked_for():
    words = [f"w{n:x}q" for n in range(4000)]
    split = split_by_family(words, TrainingConfig())
    assert abs(len(split.test) / 4000 - 0.15) < 0.01
    assert abs(len(split.valid) / 4000 - 0.05) < 0.01


def test_labels_outside_the_attributes_are_no_labels():
    words = [
        Word("a", {"size": "large", "hue": "blue"}),
        Word("b", {"size": "huge"}),
        Word("c", {"taste": "sour"}),
    ]
    assert label_matrix(words, ATTRIBUTES).tolist() == [[1, 2], [-1, -1], [-1, -1]]


def test_weights_make_values_count_alike():
    labels = np.array([[0], [0], [0], [1], [-1]])
    weights = balanced_weights(labels)[:, 0]
    assert weights[4] == 0
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights[:4].mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_training_finds_a_curve_that_the_linear_start_does_not(kind):
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, (1200, 1)) * np.arange(1, 9)
    x = (np.concatenate([np.sin(angles), np.cos(angles)], axis=1) / 3).astype(np.float32)
    cfg = CodesConfig(kind, (3, 3, 3), latent=4, hidden=64, epochs=30, batch=100, patience=30, learning_rate=5e-3)
    mx.random.seed(0)
    history = list(fit(Autoencoder(16, cfg, ()), x, np.empty((1200, 0), np.int64), split_rows(1200), cfg, seed=0))
    assert min(e.relative_mse for e in history) < 0.8 * history[0].relative_mse


@pytest.mark.parametrize(("kind", "left", "saving"), [("rvq", 3, True), ("rvq", 2, False), ("fsq", 8, True)])
def test_a_killed_training_goes_on_with_the_same_curve(kind, left, saving, tmp_path):
    """Codebooks, their running sums, the best weights so far and the optimizer's state come back."""
    file = Checkpoint(tmp_path / "checkpoint.safetensors", {"settings": "a"}, "delete it")
    settings_ = {"epochs": 60, "learning_rate": 0.05, "patience": 1}
    model, history, *_ = train(kind, **settings_)
    with killed_before(6 * len(history) - left, saving):
        train(kind, file, **settings_)
    again, seen, *_ = train(kind, file, **settings_)
    assert seen == history
    for name, array in named(model.parameters()).items():
        close(named(again.parameters())[name], array, "exact")
    with pytest.raises(WotdError, match=r"checkpoint\.safetensors doesn't belong to the settings here.*; delete it"):
        train(kind, Checkpoint(file.path, {"settings": "b"}, "delete it"), **settings_)
    file.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_training_ties_coordinates_to_labels(kind):
    model, history, x, labels = train(kind, epochs=20, patience=20, label_weight=0.3)
    held = split_rows(len(x)).test
    ids = np.array(model.encode(mx.array(x)))
    read_labels_off_codes(model, ids, labels)
    for a, attribute in enumerate(ATTRIBUTES):
        known = held[labels[held, a] >= 0]
        predicted = np.array(model.tables[a]).argmax(axis=1)[ids[known, a]]
        accuracy = (predicted == labels[known, a]).mean()
        assert accuracy > 1.4 / len(attribute.values), (kind, attribute.name, accuracy)
    assert all(len(e.usage) == len(e.perplexity) == 4 for e in history)


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_the_same_seed_gives_the_same_codes_and_compiling_changes_nothing_but_rounding(kind):
    first, second, plain = (train(kind, epochs=3, compile=c) for c in (True, True, False))
    codes = [np.array(model.encode(mx.array(x))) for model, _, x, _ in (first, second, plain)]
    assert (codes[0] == codes[1]).all()
    assert (codes[0] == codes[2]).mean() > 0.95
    close(first[1][0].loss, plain[1][0].loss, "training")


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_training_lowers_the_loss(kind):
    model, history, _, _ = train(kind, epochs=20, patience=20, label_weight=0.3)
    assert min(e.valid_loss for e in history[1:]) < history[0].valid_loss
    assert not model.training


def test_learning_rate_warms_up_over_a_tenth_and_falls_to_nothing():
    _, history, _, _ = train(epochs=20, patience=20)
    rates = [e.learning_rate for e in history]
    assert rates[0] < 0.6 * max(rates)
    assert rates[1] == pytest.approx(max(rates), rel=0.1)
    assert rates[-1] < 0.02 * max(rates)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_training_stops_when_validation_no_longer_improves():
    _, history, _, _ = train(epochs=60, patience=2, learning_rate=0.05)
    losses = [e.valid_loss for e in history]
    assert len(history) < 60
    assert min(losses) == losses[-3]


def test_the_best_weights_are_kept_not_the_last():
    model, history, x, _ = train(epochs=60, patience=2, learning_rate=0.05, label_weight=0.0)
    valid = mx.array(x[split_rows(len(x)).valid])
    decoded = model.decode(model.encode(valid))
    variance = np.square(x[split_rows(len(x)).train] - np.array(model.mean)).sum(axis=1).mean()
    error = float(((valid - decoded) ** 2).sum(axis=1).mean()) / variance
    close(error, min(e.relative_mse for e in history), "training")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named(bad):
    x, _ = toy(60)
    x[[7, 31], 2] = bad
    with pytest.raises(WotdError, match=r"^vector 7 of 60 is not finite \(2 such\); check the embedding model$"):
        next(fit(None, x, None, None, CodesConfig(), 0))


def test_collapse_is_a_warning(caplog):
    epoch = Epoch(1, 1.0, 1.0, 1.0, 0.1, [0.25, 1.0], [1.0, 4.0], 0)
    with caplog.at_level(logging.WARNING, "wotd_mlx"):
        warn_of_collapse([epoch], (8, 8))
    assert [r.getMessage() for r in caplog.records] == ["level 1 has collapsed: 2 of its 8 codes are used"]


def test_constant_vectors_train_without_nan():
    x = np.full((60, 16), 0.25, np.float32)
    cfg = CodesConfig("fsq", (4, 4), hidden=8, epochs=2, batch=16)
    model = Autoencoder(16, cfg, ())
    history = list(fit(model, x, np.empty((60, 0), np.int64), split_rows(60), cfg, seed=0))
    assert np.isfinite([e.loss for e in history]).all()
    assert np.isfinite(np.array(model.decode(model.encode(mx.array(x))))).all()


def test_a_coordinate_without_labelled_words_reads_as_nothing_and_gaps_take_their_neighbours_row():
    model = Autoencoder(16, CodesConfig("fsq", (4, 4)), ATTRIBUTES)
    ids = np.array([[0, 0], [0, 0], [3, 1]])
    read_labels_off_codes(model, ids, np.array([[0, -1], [0, -1], [1, -1]]))
    assert np.array(model.tables[0]).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert not np.array(model.tables[1]).any()
