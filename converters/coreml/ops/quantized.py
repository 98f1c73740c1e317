"""Products with quantised weights: dequantised once, at conversion; Core ML's own compression comes after."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.linear import dense, gathered_product
from converters.coreml.ops.registry import LoweringContext, lowers, operand
from converters.errors import ConversionError
from converters.graph import Array
from converters.primitives.quantized import QUANTISATIONS, three


def dequantised(ctx: LoweringContext, *parts: Var | Array) -> Array:
    """Packed numbers, scales and biases as one float32 matrix, or a stack of them.

    Raises:
        ConversionError: some are no constants.
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(parts):
        raise ConversionError(
            f"{ctx.node.op} in {ctx.node.scope or 'the function'} reads quantised weights that are computed; "
            "only constant ones can be dequantised at conversion"
        )
    group, bits, mode = ctx.args[:3]
    w, scales, biases = three(map(mx.array, arrays))
    dense = mx.dequantize(w, scales, biases, group, bits, QUANTISATIONS[mode], dtype=mx.float32)
    return np.array(dense)


@lowers(
    "QuantizedMatmul",
    emits={
        "affine": ["linear"],
        "untransposed": ["linear"],
        "mxfp4": ["linear"],
        "mxfp8": ["linear"],
        "nvfp4": ["linear"],
    },
    raw=True,
    note="dense in the package; compress it for fewer bytes",
)
def quantized_matmul(ctx: LoweringContext, x: Var | Array, *parts: Var | Array) -> Var:
    weight = dequantised(ctx, *parts)
    weight = weight if ctx.args[3] else np.ascontiguousarray(weight.swapaxes(-1, -2))
    return dense(x, weight, ctx.name)


@lowers(
    "GatherQMM",
    emits={"few": ["gather"], "many": ["gather"]},
    raw=True,
    note="dense in the package; compress it for fewer bytes",
)
def gather_qmm(ctx: LoweringContext, x: Var | Array, *rest: Var | Array) -> Var:
    *parts, left, right = rest
    weights = dequantised(ctx, *parts)
    weights = np.ascontiguousarray(weights.swapaxes(-1, -2)) if ctx.args[3] else weights
    return gathered_product(ctx, operand(x, np.float32), weights, left, right)
