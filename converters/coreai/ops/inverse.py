"""Inverses of matrices."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.ops.registry import Context, lowers

STEPS = 36
"""Twice log₂ of the largest condition number, and the start."""


@lowers(
    "Inverse",
    note="by Newton's method (Schulz), rows and columns scaled first; then for condition numbers up to 10⁴, where "
    "float32 has four digits left",
)
def inverse(ctx: Context, x: Value) -> Value:
    r"""X ← X (2 − B X), from Bᵀ / (‖B‖₁ ‖B‖∞), from where it converges for each B that has an inverse; A = R B C, where
    R and C are diagonal, so that no row or column of B is small beside another."""
    triangular, upper = ctx.args
    n, axes = b.shape_of(x)[-1], b.rank(x)
    if triangular:
        x = b.mul(x, (np.triu if upper else np.tril)(np.ones((n, n))))
    swap = [*range(axes - 2), axes - 1, axes - 2]
    across = b.reduced("max", b.absolute(x), [-1])
    x = b.divide(x, across)
    down = b.reduced("max", b.absolute(x), [-2])
    x = b.divide(x, down)
    size = b.absolute(x)
    columns = b.reduced("max", b.reduced("sum", size, [-2]), [-1])
    rows = b.reduced("max", b.reduced("sum", size, [-1]), [-2])
    guess = b.divide(b.divide(b.transpose(x, swap), columns), rows)
    for _ in range(STEPS):
        guess = b.matmul(guess, b.sub(2 * np.eye(n), b.matmul(x, guess)))
    return b.divide(b.divide(guess, b.transpose(down, swap)), b.transpose(across, swap))
