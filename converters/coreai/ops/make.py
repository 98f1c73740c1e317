"""Arrays made from nothing."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.ops.registry import Context, lowers


@lowers("Arange", note="written into the package, as folding does where it has fewer than a million numbers")
def arange(ctx: Context) -> Value:
    start, _, step = ctx.args
    return b.const(start + step * np.arange(ctx.out.size), ctx.dtype(ctx.out))


@lowers("Full")
def full(ctx: Context, x: Value) -> Value:
    return b.broadcast(x, ctx.out.shape)
