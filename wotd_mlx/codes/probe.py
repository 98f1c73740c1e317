"""A linear probe: how much of a label a vector tells without any codes."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.config.codes import ProbeConfig
from wotd_mlx.training.rows import fit


def linear_probe(
    x: Vectors, labels: Indices, weights: Vectors, values: int, cfg: ProbeConfig | None = None
) -> nn.Linear:
    r"""Multinomial logistic regression of labels (N,) on x (N, D), each row with its weight (N,), all rows a step.

    Minimises :math:`\sum_n w_n\,\mathrm{CE}_n + \lVert W \rVert^2 / 2c` with c the config's ``prior``.
    """
    cfg, model = cfg or ProbeConfig(), nn.Linear(x.shape[1], values)
    model.weight, model.bias = mx.zeros(model.weight.shape), mx.zeros((values,))
    mean = x.mean(axis=0)
    # Gradient descent wants inputs of unit variance a dimension; the penalty is for those of unit length.
    spread = max(float(np.sqrt(((x - mean) ** 2).mean())), 1e-12)
    penalty = x.shape[1] / (2 * cfg.prior * len(x))

    def loss(x: mx.array, labels: mx.array, weights: mx.array) -> mx.array:
        crossed = nn.losses.cross_entropy(model(x), labels, weights=weights).mean()
        total: mx.array = crossed + penalty * (model.weight**2).sum()
        return total

    data = (mx.array((x - mean) / spread), mx.array(labels), mx.array(weights))
    fit(model, loss, data, cfg, compiled=False)
    model.weight = model.weight / spread
    model.bias = model.bias - model.weight @ mx.array(mean)
    return model
