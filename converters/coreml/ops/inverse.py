"""Inverses of matrices."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers

STEPS = 36
"""Twice log₂ of the largest condition number, and the start."""


@lowers(
    "Inverse",
    emits={"batch": ["matmul"]},
    note="by Newton's method (Schulz), rows and columns scaled first; then for condition numbers up to 10⁴, where "
    "float32 has four digits left",
)
def inverse(ctx: LoweringContext, x: Var) -> Var:
    r"""X ← X (2 − B X), from Bᵀ / (‖B‖₁ ‖B‖∞), from where it converges for each B that has an inverse; A = R B C, where
    R and C are diagonal, so that no row or column of B is small beside another."""
    triangular, upper = ctx.args
    n = x.shape[-1]
    if triangular:
        x = mb.mul(x=x, y=(np.triu if upper else np.tril)(np.ones((n, n), np.float32)))
    across = mb.reduce_max(x=mb.abs(x=x), axes=[-1], keep_dims=True)
    x = mb.real_div(x=x, y=across)
    down = mb.reduce_max(x=mb.abs(x=x), axes=[-2], keep_dims=True)
    x = mb.real_div(x=x, y=down)
    size = mb.abs(x=x)
    columns = mb.reduce_max(x=mb.reduce_sum(x=size, axes=[-2], keep_dims=True), axes=[-1], keep_dims=True)
    rows = mb.reduce_max(x=mb.reduce_sum(x=size, axes=[-1], keep_dims=True), axes=[-2], keep_dims=True)
    swap = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    turned = mb.transpose(x=x, perm=swap)
    guess = mb.real_div(x=mb.real_div(x=turned, y=columns), y=rows)
    twice = 2 * np.eye(n, dtype=np.float32)
    for _ in range(STEPS):
        guess = mb.matmul(x=guess, y=mb.sub(x=twice, y=mb.matmul(x=x, y=guess)))
    guess = mb.real_div(x=guess, y=mb.transpose(x=down, perm=swap))
    return mb.real_div(x=guess, y=mb.transpose(x=across, perm=swap), name=ctx.name)
