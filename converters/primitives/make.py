"""Arrays made from nothing."""

from __future__ import annotations

import mlx.core as mx

from converters.graph import Node
from converters.primitives.casts import dtype_of
from converters.primitives.registry import Case, primitive

LONG = (1 << 20) + 4
"""More numbers than folding writes into a package."""


def _arange(node: Node) -> mx.array:
    start, stop, step = node.args
    made = mx.arange(start, stop, step, dtype=dtype_of(node.out.dtype))
    # MLX has computed the length from numbers that it printed with fewer digits.
    return made if made.shape == node.out.shape else mx.arange(node.out.size) * step + start


primitive(
    "Arange",
    _arange,
    [
        Case("ints", lambda x: x + mx.arange(LONG)[-4:], [(4,)]),
        Case("folded", lambda x: x + mx.arange(0.5, 2.5, 0.5), [(4,)]),
    ],
)


primitive(
    "Full", lambda n, x: mx.broadcast_to(x, n.out.shape), [Case("ones", lambda x: x + mx.full((3,), x[0]), [(3,)])]
)
