"""GELU by its error function, in the form that a device runs fastest: MLX's own, or on a CPU a quotient of polynomials.

MLX's CPU kernel calls the scalar ``erf``, 26 ns a number and more than all matrix products of a small model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import mlx.core as mx
from mlx import nn

from wotd_mlx.backend import jit_available, on_cpu

Function = Callable[[mx.array], mx.array]

_TOP = 5.5
"""From here on GELU is x or 0 within 1.1e-7."""
# In y = 2 min(|x|, 5.5) and u = y²; by reweighted least squares until the largest error was least.
# u p(u) / q(u) ≈ c (Φ(c) - 1/2) with c = y/2, within 3.8e-7.
_P = (0.0997352848, 0.00427408522, 0.000107442271, 2.06495108e-06, 9.2626807e-09)
_Q = (1.0, 0.0845148504, 0.00303883515, 6.12710546e-05, 7.51429567e-07, 7.45770812e-10)
# y p(u) / q(u) ≈ Φ(c) - 1/2 + c φ(c), within 1.1e-7.
_SLOPE_P = (0.39894266, -0.00386799193, 0.000444345111, 1.6088026e-07, 6.99282225e-08, 9.31996759e-11)
_SLOPE_Q = (1.0, 0.0736396792, 0.00256178219, 5.50284493e-05, 7.50235542e-07, 8.67885052e-09)


def rational(x: mx.array) -> mx.array:
    r"""x Φ(x) within 1.1e-6 (1 + \|x\|) for \|x\| up to a million.

    .. math:: \tfrac12 (x + |x| - |c|) + c\,(\Phi(c) - \tfrac12), \quad c = \max(-5.5, \min(x, 5.5))

    Shape: any -> the same.
    Reference:
        Hendrycks & Gimpel 2016, arXiv 1606.08415.
    """
    # Eleven operations deep at most, since MLX fuses no more; and clipping by comparison isn't vectorised.
    y = mx.abs(x + _TOP) - mx.abs(x - _TOP)
    u = y * y
    uu = u * u
    over = (_P[0] + _P[1] * u) * u + ((_P[2] + _P[3] * u) * (uu * u) + (_P[4] * u) * (uu * uu))
    under = (_Q[0] + _Q[1] * u) + ((_Q[2] + _Q[3] * u) * uu + (_Q[4] + _Q[5] * u) * (uu * uu))
    return (0.5 * x + (0.5 * mx.abs(x) - 0.25 * mx.abs(y))) + over / under


def slope(x: mx.array) -> mx.array:
    """GELU's derivative Φ(x) + x φ(x), within 1e-6 for |x| up to a million; any shape -> the same."""
    y = mx.abs(x + _TOP) - mx.abs(x - _TOP)
    u = y * y
    uu = u * u
    p, q = _SLOPE_P, _SLOPE_Q
    over = (p[0] + p[1] * u) * y + ((p[2] + p[3] * u) * (uu * y) + (p[4] + p[5] * u) * (uu * uu * y))
    under = (q[0] + q[1] * u) + ((q[2] + q[3] * u) * uu + (q[4] + q[5] * u) * (uu * uu))
    return 0.5 + over / under


def _fused(function: Function) -> Function:
    compiled = threading.local()

    def call(x: mx.array) -> mx.array:
        if not jit_available():
            return function(x)
        # A compiled function runs where it was traced: one a thread and stream.
        stream = mx.default_stream(mx.default_device())
        known: list[tuple[mx.Stream, Function]] = compiled.__dict__.setdefault("known", [])
        for its_stream, its_function in known:
            if its_stream == stream:
                return its_function(x)
        known.append((stream, mx.compile(partial(function))))
        return known[-1][1](x)

    return call


fast = _fused(rational)
_fast_slope = _fused(slope)


def _pulled_back(primals: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * _fast_slope(primals)


trained: Function = mx.custom_function(fast)  # type: ignore[assignment]
trained.vjp(_pulled_back)  # type: ignore[attr-defined]
"""As :data:`fast`, with :func:`slope` for its derivative; MLX can't export it."""


def choose(exact: bool, training: bool) -> Function:
    """The GELU for the default device; ``exact`` asks for MLX's own, as an export wants it."""
    if exact or not on_cpu():
        return nn.gelu
    return trained if training else fast
