"""Pooling, as a pass puts it together."""

from __future__ import annotations

from math import prod

import mlx.core as mx
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var
from mlx import nn

from converters.coreml.graph import Node
from converters.coreml.ops.registry import Case, LoweringContext, op

MAXIMA, MEANS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def _pool(node: Node, x: mx.array) -> mx.array:
    kind, sizes, steps = node.args
    made: mx.array = (MAXIMA if kind == "max" else MEANS)[len(sizes) - 1](sizes, steps)(x)
    return made * prod(sizes) if kind == "sum" else made


@op(
    "Pool",
    _pool,
    [
        Case("max", nn.MaxPool2d(2), [(1, 4, 6, 3)], ["max_pool"]),
        Case("max_overlaps", nn.MaxPool2d((3, 2), (1, 2)), [(2, 5, 6, 3)], ["max_pool"]),
        Case("max_1d", nn.MaxPool1d(3, 1), [(2, 5, 3)], ["max_pool"]),
        Case("max_3d", nn.MaxPool3d(2, 1), [(1, 4, 3, 4, 2)], ["max_pool"]),
        Case("max_flat", lambda x: nn.MaxPool2d(2)(x).reshape(2, -1), [(2, 4, 4, 3)], ["max_pool"]),
        Case("mean", nn.AvgPool2d(2, 1), [(1, 4, 6, 3)], ["avg_pool"]),
        Case("mean_3d", nn.AvgPool3d(2), [(1, 4, 2, 4, 2)], ["avg_pool"]),
        Case("sum", lambda x: nn.AvgPool2d(2)(x) * 3, [(1, 4, 6, 3)], ["avg_pool"]),
    ],
)
def pool(ctx: LoweringContext, x: Var) -> Var:
    kind, sizes, steps = ctx.args
    build = mb.max_pool if kind == "max" else mb.avg_pool
    last = x.rank - 1
    x = mb.transpose(x=x, perm=[0, last, *range(1, last)])
    y = build(x=x, kernel_sizes=list(sizes), strides=list(steps), pad_type="valid")
    y = mb.mul(x=y, y=float(prod(sizes))) if kind == "sum" else y
    return mb.transpose(x=y, perm=[0, *range(2, last + 1), 1], name=ctx.name)
