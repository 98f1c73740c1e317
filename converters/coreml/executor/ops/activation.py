"""Activations."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf, expit

from converters.coreml.executor.ops.common import Array, per_channel
from converters.coreml.executor.registry import Numbers, op


@op("relu")
def relu(x: Numbers) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, 0))


@op("relu6")
def relu6(x: Numbers) -> Array:
    """min(max(x, 0), 6)."""
    return np.asarray(np.minimum(np.maximum(x, 0), 6))


@op("sigmoid")
def sigmoid(x: Numbers) -> Array:
    """1 / (1 + e^−x)."""
    return np.asarray(expit(x))


@op("silu")
def silu(x: Numbers) -> Array:
    """x · sigmoid(x)."""
    return np.asarray(x * expit(x))


@op("gelu")
def gelu(x: Numbers, mode: str = "EXACT") -> Array:
    """x · Φ(x), with Φ by the error function, or approximated by tanh or by the sigmoid of 1.702 x."""
    if mode == "EXACT":
        return np.asarray(0.5 * x * (1 + erf(x * np.float32(math.sqrt(0.5)))))
    if mode == "TANH_APPROXIMATION":
        inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    if mode == "SIGMOID_APPROXIMATION":
        return np.asarray(x * expit(np.float32(1.702) * x))
    raise ValueError(f"unknown mode {mode!r}; known are EXACT, TANH_APPROXIMATION and SIGMOID_APPROXIMATION")


@op("leaky_relu")
def leaky_relu(x: Numbers, alpha: float) -> Array:
    """x where x ≥ 0, else α x."""
    return np.asarray(np.where(x >= 0, x, alpha * x))


@op("prelu")
def prelu(x: Array, alpha: Array) -> Array:
    """x where x > 0, else α_c x, with one α per channel (axis 1)."""
    return np.where(x > 0, x, per_channel(alpha, x) * x)


@op("elu")
def elu(x: Numbers, alpha: float) -> Array:
    """x where x > 0, else α (e^x − 1)."""
    return np.asarray(np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


@op("softplus")
def softplus(x: Numbers) -> Array:
    """ln(1 + e^x)."""
    return np.asarray(np.logaddexp(x, np.float32(0)))


@op("softplus_parametric")
def softplus_parametric(x: Array, alpha: Array, beta: Array) -> Array:
    """α_c ln(1 + e^(β_c x)), with one α and β per channel (axis 1)."""
    return np.asarray(per_channel(alpha, x) * np.logaddexp(per_channel(beta, x) * x, np.float32(0)))


@op("softsign")
def softsign(x: Numbers) -> Array:
    """x / (1 + |x|)."""
    return np.asarray(x / (1 + np.abs(x)))


@op("clamped_relu")
def clamped_relu(x: Numbers, alpha: float, beta: float) -> Array:
    """min(β, x) where x ≥ 0, else min(β, α x)."""
    return np.asarray(np.minimum(beta, np.where(x >= 0, x, alpha * x)))


@op("thresholded_relu")
def thresholded_relu(x: Numbers, alpha: float) -> Array:
    """x where x ≥ α, else 0."""
    return np.where(x >= alpha, x, np.float32(0))


@op("linear_activation")
def linear_activation(x: Numbers, alpha: float, beta: float) -> Array:
    """α x + β."""
    return np.asarray(alpha * x + beta)


@op("scaled_tanh")
def scaled_tanh(x: Numbers, alpha: float, beta: float) -> Array:
    """α tanh(β x)."""
    return np.asarray(alpha * np.tanh(beta * x))


@op("sigmoid_hard")
def sigmoid_hard(x: Numbers, alpha: float, beta: float) -> Array:
    """min(max(α x + β, 0), 1)."""
    return np.asarray(np.minimum(np.maximum(alpha * x + beta, 0), 1))


@op("softmax")
def softmax(x: Array, axis: int = -1) -> Array:
    """e^x / Σ e^x along ``axis``, after subtracting the largest."""
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return np.asarray(powers / np.sum(powers, axis=axis, keepdims=True))
