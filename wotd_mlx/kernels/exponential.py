"""exp of what is zero or less, as in a softmax, in additions and multiplications."""

from __future__ import annotations

import math

import mlx.core as mx

_SERIES = tuple(1 / math.factorial(k) for k in range(6))
_HALVINGS = 6


def exp_below(x: mx.array, top: mx.array, scale: mx.array) -> mx.array:
    r"""``exp(scale * (x - top))`` for x ≤ top, within 1e-5 relatively down to exp(-10), and never below exp(-30).

    .. math:: e^z = (e^{z/64})^{64}, \quad z = \max(s (x - t), -30), \text{ the inner one a Taylor series}

    Shape: x any, ``top`` and ``scale`` broadcast against it -> as x.
    """
    u = mx.maximum((x - top) * (scale * 0.5**_HALVINGS), -30.0 * 0.5**_HALVINGS)
    power = u * _SERIES[-1] + _SERIES[-2]
    for c in _SERIES[-3::-1]:
        power = power * u + c
    for _ in range(_HALVINGS):
        power = power * power
    return power
