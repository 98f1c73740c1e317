"""Inverses of matrices."""

from __future__ import annotations

import mlx.core as mx

from converters.graph import Node
from converters.primitives.registry import Case, primitive

SCALES = mx.array([1e3, 1.0, 1e-2, 30.0])


def _inverse(node: Node, x: mx.array) -> mx.array:
    triangular, upper = node.args
    return mx.linalg.tri_inv(x, upper=upper) if triangular else mx.linalg.inv(x)


primitive(
    "Inverse",
    _inverse,
    [
        Case("batch", lambda x: mx.linalg.inv(x + 4 * mx.eye(4)), [(2, 4, 4)]),
        Case("scaled", lambda x: mx.linalg.inv(SCALES[:, None] * (x + 4 * mx.eye(4)) * SCALES), [(2, 4, 4)]),
        Case("lower", lambda x: mx.linalg.tri_inv(x + 4 * mx.eye(5)), [(5, 5)]),
        Case("upper", lambda x: mx.linalg.tri_inv(x + 4 * mx.eye(5), upper=True), [(5, 5)]),
    ],
)
