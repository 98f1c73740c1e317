"""Products with quantised weights: dequantised once, at conversion; Core ML's own compression comes after."""

from __future__ import annotations

import numpy as np
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.linear import dense, gathered_product
from converters.coreml.ops.registry import LoweringContext, lowers, operand
from converters.graph import Array
from converters.primitives.quantized import dequantised


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
    weight = dequantised(ctx.node, parts)
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
    weights = dequantised(ctx.node, parts)
    weights = np.ascontiguousarray(weights.swapaxes(-1, -2)) if ctx.args[3] else weights
    return gathered_product(ctx, operand(x, np.float32), weights, left, right)
