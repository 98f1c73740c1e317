"""The linear probe against the same objective minimised in float64 by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from wotd_mlx.codes.probe import linear_probe
from wotd_mlx.config.codes import ProbeConfig


@pytest.mark.parametrize("prior", [0.3, 5.0])
def test_its_objective_is_the_least_there_is(prior):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(80, 5)) * [3, 1, 1, 0.5, 0.1] + rng.normal(size=5)).astype(np.float32)
    labels = (x[:, 0] + rng.normal(size=80) > x[:, 0].mean()).astype(int) + (x[:, 1] > x[:, 1].mean() + 0.8)
    weights = rng.uniform(0.2, 3, 80).astype(np.float32)
    mean = x.mean(axis=0)
    spread = np.sqrt(((x - mean) ** 2).mean())
    z = ((x - mean) / spread).astype(np.float64)

    def objective(flat: np.ndarray) -> float:
        w, b = flat[:15].reshape(3, 5), flat[15:]
        logits = z @ w.T + b
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -(weights * log_p[np.arange(80), labels]).mean() + 5 / (2 * prior * 80) * (w**2).sum()

    best = minimize(objective, np.zeros(18))
    probe = linear_probe(x, labels, weights, 3, ProbeConfig(prior=prior))
    w = np.array(probe.weight, np.float64) * spread
    b = np.array(probe.bias, np.float64) + np.array(probe.weight, np.float64) @ mean
    found = np.concatenate([w.ravel(), b])
    start = objective(np.zeros(18))
    # 200 steps of Adam go 99.9 % of the way.
    assert best.fun <= objective(found) < best.fun + 1e-3 * (start - best.fun)
