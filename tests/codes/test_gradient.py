"""The two estimators: their values, their gradients, and that codes stay hard outside training."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codes.small import KINDS, normal, small
from tests.tolerances import close
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.gradient import annealed, gap, soft, straight_through
from wotd_mlx.config import GRADIENTS


def gradient(function, z: np.ndarray, weights: np.ndarray) -> mx.array:
    """The gradient at z of the weighted sum of what ``function`` gives."""
    return mx.grad(lambda z: (function(z) * mx.array(weights)).sum())(mx.array(z))


def test_straight_through_is_the_code_to_the_bit_with_the_identity_as_its_gradient():
    z, code, weights = normal(50, 8), normal(50, 8, seed=1), normal(50, 8, seed=2)
    close(straight_through(mx.array(z), mx.array(code)), code, "exact")
    close(gradient(lambda z: straight_through(z, mx.array(code)), z, weights), weights, "exact")


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_passes_straight_through_a_quantiser(kind):
    quantizer = small(kind)
    z, weights = normal(50, quantizer.width, seed=2), normal(50, quantizer.width, seed=3)
    want = gradient(lambda z: quantizer.bound(z) / quantizer._unit, z, weights) if kind == "fsq" else weights
    close(gradient(lambda z: quantizer(z).quantized, z, weights), want, "sum_order")


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**31))
@settings(max_examples=50)
def test_soft_codes_tend_to_the_nearest_code_as_the_temperature_falls(k, width, seed):
    z, book = normal(20, width, seed=seed), normal(k, width, seed=seed + 1)
    distances = np.square(z[:, None] - book).sum(axis=2)
    nearest = book[distances.argmin(axis=1)]
    errors = [
        np.square(np.array(soft(mx.array(z), mx.array(book), t)) - nearest).sum(axis=1) for t in (1.0, 0.1, 1e-2, 1e-3)
    ]
    # A latent midway between two codes stays between them at any temperature.
    clear = np.diff(np.sort(distances, axis=1)[:, :2], axis=1).min(axis=1, initial=np.inf) > 0.02
    close(errors[-1][clear], np.zeros(clear.sum()), "sum_order")
    assert errors[-1].sum() <= errors[0].sum() + 1e-6


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_gradient_of_soft_codes_is_that_of_finite_differences(temperature):
    z, book, weights, step = normal(10, 3), normal(5, 3, seed=1), normal(10, 3, seed=2), 1e-2
    shifts = step * np.eye(3, dtype=np.float32)
    found = gradient(lambda z: soft(z, mx.array(book), temperature), z, weights)

    def value(z: np.ndarray) -> np.ndarray:
        return (np.array(soft(mx.array(z), mx.array(book), temperature)) * weights).sum(axis=1)

    want = np.stack([(value(z + s) - value(z - s)) / (2 * step) for s in shifts], axis=1)
    close(found, want, "difference")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cold_soft_quantiser_gives_the_hard_codes(kind):
    quantizer = small(kind)
    quantizer.gradient, z = "soft", mx.array(normal(300, quantizer.width, seed=1))
    hard = np.array(quantizer.ids_to_codes(quantizer(z).ids))
    errors = []
    for temperature in (1.0, 0.1, 0.01, 0.001):
        quantizer._temperature = mx.array(temperature)
        errors.append(np.square(np.array(quantizer(z).quantized) - hard).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * errors[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_outside_training_codes_are_hard_whatever_the_gradient(kind, name):
    reference, quantizer = small(kind), small(kind)
    quantizer.gradient = name
    z = mx.array(normal(300, quantizer.width, seed=1))
    training = quantizer(z)
    quantizer.eval()
    want, got = reference(z), quantizer(z)
    close(got.quantized, want.quantized, "exact")
    for ids in (training.ids, got.ids):
        close(ids, want.ids, "ids")
    assert differs(quantizer, z) == (name == "soft")


def differs(quantizer: Quantizer, z: mx.array) -> bool:
    """Whether the decoder sees something else than the hard code in training."""
    hard = np.array(quantizer.eval()(z).quantized)
    seen = np.array(quantizer.train()(z).quantized)
    return not np.allclose(seen, hard, atol=1e-5)


def test_soft_codes_and_gaps_are_those_of_numpy():
    z, book = normal(9, 3), normal(5, 3, seed=1)
    distances = np.square(z[:, None].astype(np.float64) - book).sum(axis=2)
    weights = np.exp(-distances / 0.8)
    close(soft(mx.array(z), mx.array(book), 0.8), weights / weights.sum(axis=1, keepdims=True) @ book, "sum_order")
    nearest = np.sort(distances, axis=1)
    close(gap(mx.array(z), mx.array(book)), (nearest[:, 1] - nearest[:, 0]).mean(), "sum_order")
    close(gap(mx.array(z), mx.array(np.ones((4, 3), np.float32))), np.float32(1e-12), "exact")


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 1.0), (0.25, 10**-0.25), (1.0, 0.1)])
def test_the_temperature_falls_geometrically_from_one_to_a_tenth(progress, temperature):
    close(annealed(progress), temperature, "sum_order")
