"""Products with quantised weights: dequantised once, at conversion; Core ML's own compression comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Var

from converters.coreml.errors import ConversionError
from converters.coreml.graph import Array, Node
from converters.coreml.ops.linear import dense, gathered_product
from converters.coreml.ops.registry import Case, LoweringContext, integers, op, operand

QUANTISATIONS = ("affine", "mxfp4", "mxfp8", "nvfp4")
"""MLX tells the mode by its number."""
_GROUPS = (32, 32, 32, 16)
_BITS = (4, 4, 8, 4)


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
    w, scales, biases = _three(map(mx.array, arrays))
    dense = mx.dequantize(w, scales, biases, group, bits, QUANTISATIONS[mode], dtype=mx.float32)
    return np.array(dense)


def _three(parts: Iterable[mx.array]) -> tuple[mx.array, mx.array, mx.array | None]:
    """Packed numbers, scales and, where the mode has them, biases."""
    w, scales, *biases = parts
    return w, scales, biases[0] if biases else None


@cache
def _packed(mode: int) -> list[mx.array]:
    dense = mx.sin(mx.arange(64 * 64, dtype=mx.float32)).reshape(64, 64)
    parts = mx.quantize(dense, group_size=_GROUPS[mode], bits=_BITS[mode], mode=QUANTISATIONS[mode])
    mx.eval(parts)
    return list(parts)


def _product(mode: int, transpose: bool = True) -> Callable[[mx.array], mx.array]:
    def product(x: mx.array) -> mx.array:
        w, scales, biases = _three(_packed(mode))
        return mx.quantized_matmul(x, w, scales, biases, transpose, _GROUPS[mode], _BITS[mode], QUANTISATIONS[mode])

    return product


def _quantized_matmul(node: Node, x: mx.array, *parts: mx.array) -> mx.array:
    group, bits, mode, transpose = node.args
    w, scales, biases = _three(parts)
    return mx.quantized_matmul(x, w, scales, biases, transpose, group, bits, QUANTISATIONS[mode])


@op(
    "QuantizedMatmul",
    _quantized_matmul,
    [
        Case("affine", _product(0), [(2, 64)], ["linear"]),
        Case("untransposed", _product(0, False), [(2, 3, 64)], ["linear"]),
        Case("mxfp4", _product(1), [(2, 64)], ["linear"]),
        Case("mxfp8", _product(2), [(2, 64)], ["linear"]),
        Case("nvfp4", _product(3), [(2, 64)], ["linear"]),
    ],
    raw=True,
    note="dense in the package; compress it for fewer bytes",
)
def quantized_matmul(ctx: LoweringContext, x: Var | Array, *parts: Var | Array) -> Var:
    weight = dequantised(ctx, *parts)
    weight = weight if ctx.args[3] else np.ascontiguousarray(weight.swapaxes(-1, -2))
    return dense(x, weight, ctx.name)


def _gather_qmm(node: Node, x: mx.array, *rest: mx.array) -> mx.array:
    *parts, left, right = rest
    group, bits, mode, transpose = node.args[:4]
    w, scales, biases = _three(parts)
    return mx.gather_qmm(x, w, scales, biases, left, right, transpose, group, bits, QUANTISATIONS[mode])


def _experts(x: mx.array, i: mx.array) -> mx.array:
    w, scales, biases = _three(part.reshape(4, 16, -1) for part in _packed(0))
    return mx.gather_qmm(x, w, scales, biases, None, i, True, 32, 4)


@op(
    "GatherQMM",
    _gather_qmm,
    [
        Case("few", _experts, [(2, 1, 64), integers(2, low=0, high=4)], ["gather"]),
        Case("many", _experts, [(5, 1, 1, 64), integers(5, 2, low=0, high=4)], ["gather"]),
    ],
    raw=True,
    note="dense in the package; compress it for fewer bytes",
)
def gather_qmm(ctx: LoweringContext, x: Var | Array, *rest: Var | Array) -> Var:
    *parts, left, right = rest
    weights = dequantised(ctx, *parts)
    weights = np.ascontiguousarray(weights.swapaxes(-1, -2)) if ctx.args[3] else weights
    return gathered_product(ctx, operand(x, np.float32), weights, left, right)
