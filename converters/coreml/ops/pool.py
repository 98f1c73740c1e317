"""Pooling, as a pass puts it together."""

from __future__ import annotations

from math import prod

from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers


@lowers(
    "Pool",
    emits={
        "max": ["max_pool"],
        "max_overlaps": ["max_pool"],
        "max_1d": ["max_pool"],
        "max_3d": ["max_pool"],
        "max_flat": ["max_pool"],
        "mean": ["avg_pool"],
        "mean_3d": ["avg_pool"],
        "sum": ["avg_pool"],
    },
)
def pool(ctx: LoweringContext, x: Var) -> Var:
    kind, sizes, steps = ctx.args
    build = mb.max_pool if kind == "max" else mb.avg_pool
    last = x.rank - 1
    x = mb.transpose(x=x, perm=[0, last, *range(1, last)])
    y = build(x=x, kernel_sizes=list(sizes), strides=list(steps), pad_type="valid")
    y = mb.mul(x=y, y=float(prod(sizes))) if kind == "sum" else y
    return mb.transpose(x=y, perm=[0, *range(2, last + 1), 1], name=ctx.name)
