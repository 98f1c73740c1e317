"""A predictor as a strategy: the words nearest to what follows the last five liked, by the model itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from tests.taste.people import features, pool, said
from tests.tolerances import close
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.daily.predict import by_prediction
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.store import ModelFolder, Settings, untrained
from wotd_mlx.lvm.training.history import Epoch
from wotd_mlx.schemas import WotdError

DIMS = 8


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    config = asdict(preset("gru", "tiny", dims=DIMS, width=16, depth=1))
    settings = Settings("gru", "tiny", config, Recipe(), "tiny-bert", "d.tsv", "digest")
    made = ModelFolder(tmp_path, "gru")
    made.write_settings(settings)
    mx.random.seed(0)
    history = [Epoch(1, 1.0, 0.1, 0.0, 1.0, 0.1, 0.0, 1e-3, 1.0, 2.5, 1000, True)]
    made.write_weights(made.best, named(untrained(settings).parameters()), settings, history)
    made.write_history(history)
    return made.path


def test_words_are_ranked_by_what_the_model_predicts(trained):
    vectors = np.random.default_rng(0).normal(size=(60, DIMS)).astype(np.float32)
    rows, votes = [9, 4, 30, 2, 51, 7, 8], [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    found = by_prediction(trained, vectors, "tiny-bert")(
        pool(features()), said(rows, votes), np.ones(60, bool), np.random.default_rng(0)
    )
    model, _ = ModelFolder(trained.parent.parent, "gru").load()
    context = vectors[[4, 2, 51, 7, 8]]  # the last five that were liked, the newest last
    want = vectors @ np.array(model(mx.array(context[None]))[0])[0, -1]
    close(found, want, "sum_order")


def test_without_a_like_there_is_nothing_to_predict_from(trained):
    vectors = np.zeros((60, DIMS), np.float32)
    draws = np.random.default_rng(3)
    found = by_prediction(trained, vectors, "tiny-bert")(pool(features()), said([], []), np.ones(60, bool), draws)
    close(found, np.random.default_rng(3).random(60), "exact")


def test_a_predictor_of_other_vectors_is_refused(trained):
    with pytest.raises(WotdError, match="vectors of tiny-bert, the words have those of another"):
        by_prediction(trained, np.zeros((60, DIMS), np.float32), "another")
    with pytest.raises(WotdError, match="lvm train"):
        by_prediction(trained.parent / "lstm", np.zeros((60, DIMS), np.float32), "tiny-bert")
