"""tanh, and GELU made of it, in the form that a device runs fastest: MLX's own, or on a CPU a quotient of polynomials.

MLX's CPU kernel calls the scalar ``tanh``, 20 ns a number; the quotient, fused into one vector loop, takes less than 1.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import cast

import mlx.core as mx

from wotd_mlx.backend import jit_available, on_cpu

Tanh = Callable[[mx.array], mx.array]

_TOP = 8.0
"""From here on tanh is 1 within 2.3e-7."""
# In y = 2x: y p(y²) / q(y²) ≈ tanh(y/2) for |y| ≤ 16, reweighted least squares until the largest error was least.
_P = (0.499999681, 0.0161420494, 9.18383121e-05, 8.83609950e-08)
_Q = (1.0, 0.115616846, 0.00148523874, 3.70355696e-06, 9.46811122e-10)


def rational(x: mx.array) -> mx.array:
    r"""tanh(x) within 5e-7 for \|x\| up to a million.

    .. math:: \tanh x \approx y\,p(y^2) / q(y^2), \quad y = |x + 8| - |x - 8| = 2 \max(-8, \min(x, 8))

    Shape: any -> the same.
    """
    # Ten operations deep at most, since MLX fuses no more than eleven; and clipping by comparison isn't vectorised.
    y = mx.abs(x + _TOP) - mx.abs(x - _TOP)
    u = y * y
    uu = u * u
    over = (_P[0] + _P[1] * u) + (_P[2] + _P[3] * u) * uu
    under = (_Q[0] + _Q[1] * u) + ((_Q[2] + _Q[3] * u) + _Q[4] * uu) * uu
    return y * over / under


_compiled = threading.local()


@cache
def _jit() -> bool:
    return jit_available()


def fast(x: mx.array) -> mx.array:
    """:func:`rational` in one loop where MLX can fuse; it needs the digits of float32, so other types get MLX's own."""
    if x.dtype != mx.float32:
        return mx.tanh(x)
    if not _jit():
        return rational(x)
    # A compiled function runs where it was traced: one a thread and stream. For any shape at once MLX would spread
    # its constants over an array each, which takes four times as long.
    stream = mx.default_stream(mx.default_device())
    known: list[tuple[mx.Stream, Tanh]] = _compiled.__dict__.setdefault("known", [])
    for its_stream, function in known:
        if its_stream == stream:
            return function(x)
    known.append((stream, mx.compile(partial(rational))))
    return known[-1][1](x)


def _slope(primals: mx.array, cotangent: mx.array, output: mx.array) -> mx.array:
    return cotangent * (1 - output * output)


_trained = mx.custom_function(fast)
_trained.vjp(_slope)


def trained(x: mx.array) -> mx.array:
    """As :func:`fast`, with 1 - tanh² for its derivative; MLX can't export it."""
    return cast(mx.array, _trained(x))


def choose(exact: bool, training: bool) -> Tanh:
    """The tanh for the default device; ``exact`` asks for MLX's own, a single primitive, as an export wants it."""
    if exact or not on_cpu():
        return mx.tanh
    return trained if training else fast


def gelu(x: mx.array, tanh: Tanh) -> mx.array:
    r"""½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), GPT-2's form of GELU.

    Shape: any -> the same; with a fast tanh, x up to 300.
    Reference:
        Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2.
    """
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x * (1 + 0.044715 * (x * x)))))
