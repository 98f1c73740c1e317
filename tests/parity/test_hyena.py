"""Hyena's operator against definition 3.1 in float64, sum by sum."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.hyena import HyenaOperator

pytestmark = pytest.mark.parity

L, W = 11, 6


def defined(cfg, weights, x):
    """x (L, W) -> y (L, W): z¹ = v; zⁿ⁺¹_t = xⁿ_t · Σ over s ≤ t of hⁿ_{t-s} zⁿ_s; ``weights`` in float64."""
    projections = x @ weights["into.weight"].T + weights["into.bias"]
    short = np.zeros_like(projections)
    for t in range(L):
        short[t] = weights["short.bias"]
        for lag in range(min(cfg.reach, t + 1)):
            short[t] += weights["short.weight"][cfg.reach - 1 - lag] * projections[t - lag]
    v, *gates = np.split(short, cfg.order + 1, axis=1)
    rates = [math.log(100) * (1 / 1.5 + w / (W - 1) * (1 / 0.3 - 1 / 1.5)) for w in range(W)]
    filters = np.zeros((cfg.order, L, W))
    for t in range(L):
        position = t / cfg.longest
        h = [position, *(f(2 * math.pi * k * position) for f in (math.cos, math.sin) for k in range(cfg.waves))]
        for n in range(cfg.filter_depth - 1):
            layer = f"filter.layers.{n}"
            h = np.sin(weights["filter.frequency"] * (weights[f"{layer}.weight"] @ h + weights[f"{layer}.bias"]))
        filters[:, t] = (weights["filter.out.weight"] @ h).reshape(cfg.order, W) * np.exp(-np.array(rates) * position)
    filters[:, 0] += weights["filter.here"]
    z = v
    for gate, h in zip(gates, filters, strict=True):
        after = np.zeros_like(z)
        for t in range(L):
            for s in range(t + 1):
                after[t] += gate[t] * h[t - s] * z[s]
        z = after
    return z @ weights["out.weight"].T + weights["out.bias"]


def test_the_operator_is_definition_3_1():
    from mlx.utils import tree_flatten

    mx.random.seed(0)
    for order in (2, 3):
        cfg = preset("hyena", "tiny", width=W, order=order)
        operator = HyenaOperator(cfg)
        operator.short.bias = mx.random.normal(operator.short.bias.shape)
        x, weight = np.random.default_rng(0).normal(size=(2, L, W)).astype(np.float32)
        weights = {name: np.array(w, np.float64) for name, w in tree_flatten(operator.parameters())}
        close(operator(mx.array(x)[None], None)[0][0], defined(cfg, weights, x.astype(np.float64)), "paper")

        def loss(parameters, operator=operator, x=x, weight=weight):
            operator.update(parameters)
            return (operator(mx.array(x)[None], None)[0][0] * mx.array(weight)).mean()

        got = dict(tree_flatten(mx.grad(loss)(operator.trainable_parameters())))
        rng = np.random.default_rng(1)
        for name, array in weights.items():
            # One direction through each weight: the whole gradient's part along it.
            direction, sides = rng.normal(size=array.shape), []
            for shift in (1e-6, -1e-6):
                moved = weights | {name: array + shift * direction}
                sides.append((defined(cfg, moved, x.astype(np.float64)) * weight).mean())
            close((np.array(got[name]) * direction).sum(), (sides[0] - sides[1]) / 2e-6, "paper")
