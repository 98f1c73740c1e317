import mlx.core as mx
import numpy as np
import pytest

from tests.lvm.evaluation.small import articles, embeddings, model
from tests.tolerances import close
from wotd_mlx.lvm.evaluation.predict import BEFORE, predict, windows
from wotd_mlx.lvm.parts.base import Predictor
from wotd_mlx.schemas import WotdError


def test_windows_end_before_the_target_and_stay_in_its_article():
    found = windows(articles(7, 8), np.array([5, 14]), context=6)
    assert found.length.tolist() == [5, 6]
    assert found.rows.tolist() == [[0, 1, 2, 3, 4, 4], [8, 9, 10, 11, 12, 13]]


def test_predictions_are_those_of_each_window_alone_in_any_batch():
    data, net = articles(9, 14), model()
    x, targets = embeddings(len(data)), data.rows(np.array([0, 1]), BEFORE)
    alone = []
    for t in targets:
        start = max(t - 7, data.starts[data.article[t]])
        alone.append(np.asarray(net(mx.array(x[None, start:t]))[0])[0, -1])
    close(predict(net, data, x, targets, 7), np.stack(alone), "sum_order")
    # Two windows of seven embeddings of sixteen numbers a batch.
    close(predict(net, data, x, targets, 7, numbers=2 * 7 * 16), np.stack(alone), "sum_order")


def test_the_target_and_what_follows_change_nothing():
    data, net, target = articles(12), model(), np.array([6])
    x = embeddings(12)
    before = predict(net, data, x, target, 4)
    x[6:] = embeddings(6, seed=1)
    close(predict(net, data, x, target, 4), before, "exact")
    x[1] = 1.0
    close(predict(net, data, x, target, 4), before, "exact")
    x[5] = 1.0
    assert not np.allclose(predict(net, data, x, target, 4), before)


def test_a_models_scalars_are_its_starting_point():
    data, net = articles(8), model(base="gates")
    net.predictor.head.weight = mx.ones_like(net.predictor.head.weight)
    net.scalars.weights = mx.array([0.5, 0.25, 0.0, 0.0, 0.0, 1.0])
    x = embeddings(8)
    found = predict(net.scalars, data, x, np.array([6, 7]), 5)
    means = np.stack([x[1:6].mean(0), x[2:7].mean(0)])
    close(found, 0.5 * x[[5, 6]] + 0.25 * x[[4, 5]] + means, "sum_order")


def test_a_prediction_that_is_not_finite_is_an_error():
    class Broken(Predictor):
        def __call__(self, x, state=None):
            return x * float("nan"), None

    net = model()
    net.predictor = Broken()
    with pytest.raises(WotdError, match=r"sentence 5 is not finite, or beyond 1e\+09 \(2 of 2 such\)"):
        predict(net, articles(7), embeddings(7), np.array([5, 6]), 5)
