"""Arrays made from nothing."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Node
from converters.coreml.ops.casts import dtype_of
from converters.coreml.ops.registry import Case, LoweringContext, op

LONG = (1 << 20) + 4
"""More numbers than folding writes into a package."""


def _arange(node: Node) -> mx.array:
    start, stop, step = node.args
    made = mx.arange(start, stop, step, dtype=dtype_of(node.out.dtype))
    # MLX has computed the length from numbers that it printed with fewer digits.
    return made if made.shape == node.out.shape else mx.arange(node.out.size) * step + start


@op(
    "Arange",
    _arange,
    [
        Case("ints", lambda x: x + mx.arange(LONG)[-4:], [(4,)], ["range_1d"]),
        Case("folded", lambda x: x + mx.arange(0.5, 2.5, 0.5), [(4,)]),
    ],
    note="folded unless it has more than a million numbers",
)
def arange(ctx: LoweringContext) -> Var:
    kind = np.float32 if ctx.out.is_float else np.int32
    start, stop, step = (kind(n) for n in ctx.args)
    return mb.range_1d(start=start, end=stop, step=step, name=ctx.name)


@op("Full", lambda n, x: mx.broadcast_to(x, n.out.shape), [Case("ones", lambda x: x + mx.full((3,), x[0]), [(3,)])])
def full(ctx: LoweringContext, x: Var) -> Var:
    return mb.identity(x=x, name=ctx.name)
