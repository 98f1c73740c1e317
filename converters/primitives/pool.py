"""Pooling, as a pass puts it together."""

from __future__ import annotations

from math import prod

import mlx.core as mx
from mlx import nn

from converters.graph import Node
from converters.primitives.registry import Case, primitive

MAXIMA, MEANS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def _pool(node: Node, x: mx.array) -> mx.array:
    kind, sizes, steps = node.args
    made: mx.array = (MAXIMA if kind == "max" else MEANS)[len(sizes) - 1](sizes, steps)(x)
    return made * prod(sizes) if kind == "sum" else made


primitive(
    "Pool",
    _pool,
    [
        Case("max", nn.MaxPool2d(2), [(1, 4, 6, 3)]),
        Case("max_overlaps", nn.MaxPool2d((3, 2), (1, 2)), [(2, 5, 6, 3)]),
        Case("max_1d", nn.MaxPool1d(3, 1), [(2, 5, 3)]),
        Case("max_3d", nn.MaxPool3d(2, 1), [(1, 4, 3, 4, 2)]),
        Case("max_flat", lambda x: nn.MaxPool2d(2)(x).reshape(2, -1), [(2, 4, 4, 3)]),
        Case("mean", nn.AvgPool2d(2, 1), [(1, 4, 6, 3)]),
        Case("mean_3d", nn.AvgPool3d(2), [(1, 4, 2, 4, 2)]),
        Case("sum", lambda x: nn.AvgPool2d(2)(x) * 3, [(1, 4, 6, 3)]),
    ],
)
