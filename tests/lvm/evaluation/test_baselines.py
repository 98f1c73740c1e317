import numpy as np
import pytest

from tests.lvm.evaluation.small import D, articles, embeddings
from tests.tolerances import close
from wotd_mlx.lvm.evaluation import baselines as module
from wotd_mlx.lvm.evaluation.baselines import baselines, fit
from wotd_mlx.lvm.evaluation.predict import BEFORE
from wotd_mlx.schemas import WotdError

TRAINING = np.array([0, 1])


def contexts(data, x, targets):
    return np.stack([x[targets - k] for k in range(1, 6)], axis=1)


def test_copying_and_averaging_by_hand():
    data, x = articles(8, 9), embeddings(17)
    found = baselines(data, x, TRAINING, context=6)
    targets = np.array([5, 16])
    close(found["copy-last"](data, x, targets), x[[4, 15]], "exact")
    # Five sentences before the first target, six of eight before the second.
    close(found["mean of context"](data, x, targets), np.stack([x[:5].mean(0), x[10:16].mean(0)]), "sum_order")
    assert list(found) == ["copy-last", "mean of context", "five scalars", "ridge"]


def test_least_squares_are_those_of_numpy_on_all_rows_at_once(monkeypatch):
    data = articles(40, 30)
    x, targets = embeddings(70), data.rows(TRAINING, BEFORE)
    known = contexts(data, x, targets)
    scalars = np.linalg.lstsq(known.transpose(0, 2, 1).reshape(-1, 5), x[targets].ravel(), rcond=None)[0]
    left = x[targets] - np.einsum("mkd,k->md", known, scalars)
    flat = known.reshape(len(targets), -1).astype(np.float64)
    mended = np.linalg.solve(flat.T @ flat + 300 * np.eye(5 * D), flat.T @ left)

    monkeypatch.setattr(module, "_BLOCK", 16)
    found = baselines(data, x, TRAINING, context=5)
    want = np.einsum("mkd,k->md", known, scalars)
    close(found["five scalars"](data, x, targets), want, "sum_order")
    close(found["ridge"](data, x, targets), want + flat @ mended, "sum_order")


def test_scalars_that_made_the_data_are_found():
    data, x = articles(200), embeddings(200)
    weights = np.array([0.5, -0.2, 0.1, 0.3, 0.2], np.float32)
    for t in range(5, 200):
        x[t] = weights @ x[t - 5 : t][::-1]
    found, _ = fit(data, x, np.array([0]))
    close(found, weights, "sum_order")


def test_fitting_sees_no_other_article():
    data = articles(20, 25, 18, 30)
    x = embeddings(93)
    before = fit(data, x, TRAINING)
    x[data.rows(np.array([2, 3]))] = np.nan
    for found, wanted in zip(fit(data, x, TRAINING), before, strict=True):
        close(found, wanted, "exact")


def test_a_short_context_is_short_for_baselines_too():
    data, x = articles(20, 25), embeddings(45)
    found = baselines(data, x, TRAINING, context=2)
    target = np.array([9])
    before = {name: forecast(data, x, target) for name, forecast in found.items()}
    x[:7] = 0
    for name, forecast in found.items():
        close(forecast(data, x, target), before[name], "exact")


def test_equal_vectors_have_least_squares_too():
    data, x = articles(20), np.tile(embeddings(1), (20, 1))
    close(fit(data, x, np.array([0]))[0], np.full(5, 0.2), "sum_order")


def test_articles_too_short_to_fit_on():
    with pytest.raises(WotdError, match="none of the 2 training articles has more than 5 sentences"):
        fit(articles(5, 4), embeddings(9), TRAINING)
