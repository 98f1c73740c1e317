"""A predictor's task: its rate, its order of batches, its evaluation and its optimisers, each by hand."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings, model
from tests.tolerances import close
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.lvm.data.sentences import split_by_article
from wotd_mlx.lvm.training.history import Epoch, PredictorState
from wotd_mlx.lvm.training.task import PredictorTask, computing_type, make_optimizer
from wotd_mlx.training.schedule import Plateau

DATA = articles(9, 7, 12, 8, 14, 6, 11)
X = embeddings(len(DATA))
RECIPE = Recipe(context=5, batch=4, learning_rate=0.2, warmup=8, epochs=3, seed=4)


def task(**changes):
    return PredictorTask(model(), DATA, X, split_by_article(DATA), replace(RECIPE, **changes))


def test_the_rate_rises_by_the_step_and_falls_by_the_plateau():
    state = PredictorState(plateau=Plateau(factor=0.25))
    found = [task().rate(step, state) for step in (0, 3, 7, 8, 50)]
    close(found, 0.2 * 0.25 * np.array([1 / 8, 4 / 8, 1, 1, 1]), "sum_order")
    assert task(warmup=0).rate(0, state) == 0.05


def test_training_ends_with_the_last_epoch():
    line = Epoch(1, *[0.1] * 8, 1.0, 1, True)
    history = [replace(line, epoch=n) for n in (1, 2, 3)]
    assert not task().ended(PredictorState(epoch=3, history=history[:2]))
    assert task().ended(PredictorState(epoch=4, history=history))


def test_the_epoch_and_the_seed_alone_decide_the_order():
    def rows(task, epoch, start=0):
        parts = [part for batch in task.batches(epoch, start) for part in batch]
        return np.concatenate([np.array(part.rows) for part, _ in parts]).tolist()

    first = rows(task(), 1)
    assert rows(task(), 1) == first
    assert rows(task(), 1, start=1) == first[4:]
    assert rows(task(), 2) != first
    assert rows(task(seed=5), 1) != first


def test_an_evaluation_is_the_mean_over_all_positions_of_the_validation_articles():
    """By windows of five from the beginning of each article; positions that only fill a batch don't count."""
    made = task()
    loss, cosine, margin = [], [], []
    for article in made.split.valid:
        start, end = DATA.starts[article], DATA.starts[article + 1]
        for a in range(start, end - 1, 5):
            b = min(a + 5, end - 1)
            y = np.array(made.model(mx.array(X[None, a:b]))[0][0], float)
            unit = y / np.linalg.norm(y, axis=1, keepdims=True)
            loss += ((y - X[a + 1 : b + 1]) ** 2).sum(axis=1).tolist()
            cosine += (unit * X[a + 1 : b + 1]).sum(axis=1).tolist()
            margin += (unit * (X[a + 1 : b + 1] - X[a:b])).sum(axis=1).tolist()
    close(made.evaluate(), [np.mean(loss), np.mean(cosine), np.mean(margin)], "paper")
    windows = sum(-(-(length - 1) // 5) for length in np.diff(DATA.starts)[made.split.train])
    assert made.steps == -(-windows // 4)


def test_a_record_names_each_figure(monkeypatch):
    monkeypatch.setattr(mx, "get_peak_memory", lambda: 9)
    now = PredictorState(history=[Epoch(n, *[0.1] * 8, 1.0, 1, True) for n in (1, 2)], epoch=3)
    now.epoch, now.sums, now.counted, now.seconds, now.closed = 4, [2.0, 4.0, 6.0, 8.0], 2, 11.0, 3.0
    record = task().record(now, [5.0, 6.0, 7.0], 0.5, True)
    assert record == Epoch(3, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 0.5, 4.0, 8.0, 9, True)


def test_adamw_is_its_formula():
    """With bias correction and a decay that is not part of the gradient."""
    optimizer = make_optimizer(Recipe(learning_rate=0.1, weight_decay=0.3))
    w, m, v = np.array([1.0, -2.0, 0.5]), np.zeros(3), np.zeros(3)
    weights = {"w": mx.array(w.astype("float32"))}
    for t, g in enumerate(np.random.default_rng(0).normal(size=(4, 3)), 1):
        weights = optimizer.apply_gradients({"w": mx.array(g.astype("float32"))}, weights)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w * (1 - 0.1 * 0.3) - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        close(weights["w"], w, "paper")


@pytest.mark.parametrize(("precision", "kind"), [("float32", mx.float32), ("bfloat16", mx.bfloat16)])
def test_the_precision_that_was_asked_for(precision, kind):
    assert computing_type(Recipe(precision=precision)) == kind
