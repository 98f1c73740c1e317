"""The loss of a prediction, its cosine and its margin, position by position in float64."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.lvm.training.loss import cosines, losses, normalised
from wotd_mlx.lvm.training.task import figures_of, micro_batches
from wotd_mlx.lvm.training.windows import Batch

B, L, D, K = 3, 4, 5, 7


@pytest.fixture
def batch():
    """Windows that end early, and candidates of which some are the target or of its context."""
    rng = np.random.default_rng(0)

    def unit(*shape):
        x = rng.normal(size=shape).astype("float32")
        return mx.array(x / np.linalg.norm(x, axis=-1, keepdims=True))

    mask = mx.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    rows, context = mx.array(rng.integers(3, 12, (B, L))), mx.array(rng.integers(1, 4, (B, L)))
    return Batch(unit(B, L, D), unit(B, L, D), mask, rows, context, unit(K, D), mx.arange(2, 2 + K))


@pytest.fixture
def prediction():
    return mx.random.normal((B, L, D), key=mx.random.key(1))


def by_hand(prediction, batch, recipe):
    """(B, L) each: loss, cosine, margin."""
    y, x, target, candidates = (np.asarray(a, float) for a in (prediction, batch.x, batch.target, batch.candidates))
    loss, cosine, margin = np.zeros((3, B, L))
    for b, t in np.ndindex(B, L):
        unit = y[b, t] / np.linalg.norm(y[b, t])
        cosine[b, t], margin[b, t] = unit @ target[b, t], unit @ target[b, t] - unit @ x[b, t]
        loss[b, t] = ((y[b, t] - target[b, t]) ** 2).sum()
        row, reach = int(batch.rows[b, t]), int(batch.context[b, t])
        allowed = [k for k in range(K) if not row - reach <= int(batch.candidate_rows[k]) <= row]
        others = sum(math.exp((unit @ candidates[k] - cosine[b, t]) / recipe.temperature) for k in allowed)
        loss[b, t] += recipe.contrastive * math.log1p(others)
    return loss, cosine, margin


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(contrastive=0.3, temperature=0.2)], ids=["mse", "contrastive"])
def test_figures_are_the_formula(batch, prediction, recipe):
    want = by_hand(prediction, batch, recipe)
    got = (losses(prediction, batch, recipe), *cosines(prediction, batch))
    for ours, theirs in zip(got, want, strict=True):
        close(ours, theirs, "paper")
    mask = np.asarray(batch.mask)
    for ours, theirs in zip(figures_of(prediction, batch, mx.array(20.0), recipe), want, strict=True):
        close(ours, np.float64((theirs * mask).sum() / 20), "paper")


def test_a_prediction_of_zeros_has_no_direction():
    close(normalised(mx.array([[0.0, 0], [3, -4]])), [[0, 0], [0.6, -0.8]], "sum_order")


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_micro_batches_are_the_batch(batch, parts):
    found = list(micro_batches(batch, parts))
    assert [len(part.x) for part in found] == {1: [3], 2: [2, 1], 3: [1, 1, 1]}[parts]
    for n, whole in enumerate(batch[:5]):
        close(mx.concatenate([part[n] for part in found]), whole, "exact")
    for part in found:
        close(part.candidates, batch.candidates, "exact")
        close(part.candidate_rows, batch.candidate_rows, "exact")
