r"""tanh, sigmoid, SiLU and two GELUs, any shape to the same: MLX's own, or on a CPU quotients of polynomials.

MLX's CPU kernels call the scalar ``exp``, ``erf`` and ``tanh``, 12 to 26 ns a number and more than all matrix products
of a small model. A quotient in one vector loop takes about 1, and so does one for the derivative:

.. math::
    \tanh x \approx f(c), \quad \sigma(x) \approx \tfrac12 + f(c), \quad
    x\,\Phi(x) \approx \tfrac12 (x + |x| - |c|) + c f(c), \qquad
    f(c) = c\, p(c^2) / q(c^2), \quad c = \max(-T, \min(x, T))

with p, q and T of its own for each. Good for \|x\| up to a million, within 1e-6 (GELU and SiLU: of 1 + \|x\|).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, mul
from typing import Any, NamedTuple

import mlx.core as mx
from mlx import nn

from wotd_mlx.kernels.choice import either
from wotd_mlx.kernels.compile import compiled

Function = Callable[[mx.array], mx.array]


class Quotient(NamedTuple):
    """p and q of the module's formula, by reweighted least squares until the largest error was least."""

    top: float
    """T; from here on the function is what it tends to within 4e-7."""
    over: tuple[float, ...]
    under: tuple[float, ...]

    def twice_clipped(self, x: mx.array) -> mx.array:
        """2c; clipping by comparison isn't vectorised."""
        return mx.abs(x + self.top) - mx.abs(x - self.top)

    def times(self, factor: mx.array, y: mx.array) -> mx.array:
        """``factor`` p(c²) / q(c²) for y = 2c; up to six coefficients each."""
        # So paired that a chain is eleven operations long at most in the functions below: MLX fuses no longer ones.
        u = y * y
        square = u * u
        over, under = (_pairs([a / 4**k for k, a in enumerate(series)], u) for series in (self.over, self.under))
        top = reduce(add, map(mul, over, (factor, square * factor, square * square * factor)))
        result: mx.array = top / reduce(add, map(mul, under, (1.0, square, square * square)))
        return result


def _pairs(a: Sequence[Any], u: mx.array) -> list[Any]:
    """a₀ + a₁ u, a₂ + a₃ u …"""
    return [a[k] + a[k + 1] * u if k + 1 < len(a) else a[k] for k in range(0, len(a), 2)]


_TANH = Quotient(
    8.0,
    (0.999999362, 0.129136394, 0.00293882577, 1.13102052e-05),
    (1.0, 0.462467381, 0.0237638189, 0.000237028211, 2.42383581e-07),
)
_SIGMOID = Quotient(
    16.0,
    (0.249999841, 0.0080710246, 4.59191527e-05, 4.41804891e-08),
    (1.0, 0.115616845, 0.00148523868, 3.7035658e-06, 9.46810861e-10),
)
_SILU: Sequence[Any] = (
    1.41421364,
    0.353570914,
    0.132484395,
    0.0259551727,
    0.00196355967,
    -1.11707151e-05,
    0.000119213882,
    -1.12506993e-05,
    7.90820217e-07,
)
_GELU = Quotient(
    5.5,
    (0.39893749, 0.0732902372, 0.00720478371, 0.00058565047, 1.0572901e-05),
    (1.0, 0.350328855, 0.0515156021, 0.00422581913, 0.000214754249, 8.47664808e-07),
)
_TANH_GELU = Quotient(
    5.0,
    (0.398940795, 0.0394183298, 0.00384463271, 0.000189708401, 4.88946397e-06),
    (1.0, 0.266284215, 0.0286850269, 0.00157399098, 8.17358926e-05, 4.61560186e-07),
)
# Derivatives less ½, which are odd too.
_SILU_SLOPE = Quotient(
    18.0,
    (0.499999749, 0.0585457154, 0.00279687889, 7.49424984e-05, 3.39650227e-07, 1.14696943e-10),
    (1.0, 0.283755571, 0.0278891426, 0.00107591333, 1.30861103e-05, 1.92406028e-08),
)
_GELU_SLOPE = Quotient(
    5.5,
    (0.79788532, -0.0309439065, 0.0142190378, 2.05933987e-05, 3.58031836e-05, 1.90871996e-07),
    (1.0, 0.294558753, 0.0409885206, 0.00352182007, 0.000192060375, 8.88711329e-06),
)
_TANH_GELU_SLOPE = Quotient(
    5.5,
    (0.797886981, -0.0394993026, 0.013263938, -0.000167677361, 3.35216381e-05, 1.75657754e-07),
    (1.0, 0.28550134, 0.0354964472, 0.002293499, 0.000139266331, 8.43180576e-06),
)


def _odd(f: Quotient, plus: float = 0.0) -> Function:
    def function(x: mx.array) -> mx.array:
        y = f.twice_clipped(x)
        return f.times(0.5 * y, y) + plus if plus else f.times(0.5 * y, y)

    return function


def _unit(f: Quotient) -> Function:
    def function(x: mx.array) -> mx.array:
        y = f.twice_clipped(x)
        return (0.5 * x + (0.5 * mx.abs(x) - 0.25 * mx.abs(y))) + f.times(0.25 * (y * y), y)

    return function


def _silu(x: mx.array) -> mx.array:
    """½ (x + |x|) - |x| / r(|x|)² with r(a)² ≈ 1 + exp a: near 0 no digit is lost, since a norm may follow."""
    a = mx.abs(x)
    r, power = _SILU, a
    while len(r) > 1:
        r, power = _pairs(r, power), power * power
    y: mx.array = (0.5 * x + 0.5 * a) - a / (r[0] * r[0])
    return y


Slope = Callable[[mx.array, mx.array, mx.array], mx.array]
"""(dy, x, y) -> dx."""


def _slope_of(f: Quotient) -> Slope:
    def slope(dy: mx.array, x: mx.array, y: mx.array) -> mx.array:
        twice = f.twice_clipped(x)
        return 0.5 * dy + f.times((0.5 * dy) * twice, twice)

    return slope


def _tanh_slope(dy: mx.array, x: mx.array, y: mx.array) -> mx.array:
    return dy * (1 - y * y)


def _sigmoid_slope(dy: mx.array, x: mx.array, y: mx.array) -> mx.array:
    return dy * (y - y * y)


def _plain_silu(x: mx.array) -> mx.array:
    """MLX's own arrives compiled, and can't be exported."""
    return x * mx.sigmoid(x)


def _plain_tanh_gelu(x: mx.array) -> mx.array:
    """MLX's own arrives compiled, and can't be exported."""
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x * (1 + 0.044715 * (x * x)))))


def _activation(plain: Function, fast: Function, slope: Slope) -> Function:
    """``fast`` and its derivative for float32 on the CPU's path, and ``plain`` for all else."""
    slope_in_one_loop = compiled(slope)
    custom: Any = mx.custom_function(compiled(fast))
    custom.vjp(lambda primal, cotangent, output: slope_in_one_loop(cotangent, primal, output))

    # The fast one takes all digits of float32, and more than other types need.
    def for_float32(x: mx.array) -> mx.array:
        y: mx.array = (custom if x.dtype == mx.float32 else plain)(x)
        return y

    return either(plain, for_float32)


tanh = _activation(mx.tanh, _odd(_TANH), _tanh_slope)
sigmoid = _activation(mx.sigmoid, _odd(_SIGMOID, plus=0.5), _sigmoid_slope)
silu = _activation(_plain_silu, _silu, _slope_of(_SILU_SLOPE))
"""x σ(x)."""
gelu = _activation(nn.gelu, _unit(_GELU), _slope_of(_GELU_SLOPE))
"""x Φ(x), Φ the normal distribution (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
tanh_gelu = _activation(_plain_tanh_gelu, _unit(_TANH_GELU), _slope_of(_TANH_GELU_SLOPE))
"""½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), GPT-2's form (there in section 2)."""
