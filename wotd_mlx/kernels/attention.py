"""GELU and attention in the form that a device runs fastest: MLX's own, or for a CPU additions and multiplications.

MLX's CPU kernels call the scalar ``erf`` (26 ns an element) and ``exp`` (12 ns), where an addition takes 0.3: on two
cores they would take longer than all matrix products. The CPU forms below are fused into one loop each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
from mlx import nn

from wotd_mlx.backend import on_cpu
from wotd_mlx.kernels.compile import compiled

# p(a) with erfc(a/√2) ≈ p(a)^-16 for a ≥ 0: least squares, reweighted until GELU's largest error is least.
_GELU_SERIES = (1.0, 0.0498891951, 0.0210345859, 0.00345558319, -9.36261888e-05, 9.28528641e-05)
_EXP_SERIES = tuple(1 / math.factorial(k) for k in range(6))
_EXP_HALVINGS = 6
_FEW = 50_000
"""Numbers in q, k and v below which one scalar kernel is faster than several vector ones: a word or two."""


class Forms(NamedTuple):
    """How a model computes what differs between devices."""

    gelu: Callable[[mx.array], mx.array]
    """any -> the same."""
    attention: Callable[[mx.array, float, mx.array | None], mx.array]
    """Query, key and value (3, B, H, L, D/H), scale, bias (B, 1, 1, L) or None -> (B, H, L, D/H)."""


def _series(u: mx.array, coefficients: tuple[float, ...]) -> mx.array:
    """Horner: ``coefficients[k]`` belongs to u**k."""
    total = u * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        total = total * u + c
    return total


def power_gelu(x: mx.array) -> mx.array:
    r"""GELU within 3e-6 of exact everywhere, its erf by a power of a polynomial, which needs no clipping.

    .. math:: \tfrac12 \bigl(x + a - a\, p(a)^{-16}\bigr), \quad a = |x|, \; p \text{ of degree } 5

    Shape: any -> the same.
    Reference:
        Hendrycks & Gimpel 2016, arXiv 1606.08415; the form is Abramowitz & Stegun 7.1.28, fitted anew to GELU.
    """
    a = mx.abs(x)
    power = _series(a, _GELU_SERIES)
    for _ in range(4):
        power = power * power
    return 0.5 * (x + a - a / power)


def exp_below(x: mx.array, top: mx.array, scale: mx.array) -> mx.array:
    r"""``exp(scale * (x - top))`` for x ≤ top, within 1e-5 relatively down to exp(-10), and never below exp(-30).

    .. math:: e^z = (e^{z/64})^{64}, \quad z = \max(s (x - t), -30), \text{ the inner one a Taylor series}

    Shape: x any, ``top`` and ``scale`` broadcast against it -> as x.
    """
    u = mx.maximum((x - top) * (scale * 0.5**_EXP_HALVINGS), -30.0 * 0.5**_EXP_HALVINGS)
    power = _series(u, _EXP_SERIES)
    for _ in range(_EXP_HALVINGS):
        power = power * power
    return power


# Lengths of texts vary: tracing another takes 1 to 5 ms, a GELU loop for one shape saves half a millisecond of 1.3.
_fused_gelu = compiled(power_gelu, any_shape=True)
_fused_exp = compiled(exp_below, any_shape=True)


def _cpu_attention(qkv: mx.array, scale: float, bias: mx.array | None) -> mx.array:
    # In one go, since the CPU's batched products would otherwise copy each of q, k and v on their own.
    qkv = mx.contiguous(qkv)
    if qkv.size < _FEW:
        return _exact_attention(qkv, scale, bias)
    q, k, v = qkv
    scores = q @ k.swapaxes(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = _fused_exp(scores, scores.max(axis=-1, keepdims=True), mx.array(scale))
    return (weights @ v) / weights.sum(axis=-1, keepdims=True)


def _exact_attention(qkv: mx.array, scale: float, bias: mx.array | None) -> mx.array:
    return mx.fast.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], scale=scale, mask=bias)


EXACT = Forms(nn.gelu, _exact_attention)
CPU = Forms(_fused_gelu, _cpu_attention)


def fastest() -> Forms:
    """The forms for the default device."""
    return CPU if on_cpu() else EXACT
