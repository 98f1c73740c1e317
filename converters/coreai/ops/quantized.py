"""Products with quantised weights: dequantised once, at conversion."""

from __future__ import annotations

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.ops.linear import dense, gathered_product
from converters.coreai.ops.registry import Context, lowers
from converters.graph import Array
from converters.primitives.quantized import dequantised

NOTE = "dense in the package; compress it for fewer bytes"


def _dense(ctx: Context, first: int, last: int) -> Array:
    weight = dequantised(ctx.node, ctx.constants[first:last])
    return weight.swapaxes(-1, -2) if ctx.args[3] else weight


@lowers("QuantizedMatmul", note=NOTE, packed=True)
def quantized_matmul(ctx: Context, x: Value, *parts: Value) -> Value:
    return dense(ctx, x, _dense(ctx, 1, len(ctx.constants)))


@lowers("GatherQMM", note=NOTE, packed=True)
def gather_qmm(ctx: Context, x: Value, *rest: Value | None) -> Value:
    weight = b.const(_dense(ctx, 1, len(ctx.constants) - 2), ctx.real)
    return gathered_product(ctx, x, weight, *rest[-2:])
