"""Products with quantised weights: dequantised once, at conversion; a package's own compression comes after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np

from converters.errors import ConversionError
from converters.graph import Array, Node
from converters.primitives.registry import Case, integers, primitive

QUANTISATIONS = ("affine", "mxfp4", "mxfp8", "nvfp4")
"""MLX tells the mode by its number."""


_GROUPS = (32, 32, 32, 16)


_BITS = (4, 4, 8, 4)


def three(parts: Iterable[mx.array]) -> tuple[mx.array, mx.array, mx.array | None]:
    """Packed numbers, scales and, where the mode has them, biases."""
    w, scales, *biases = parts
    return w, scales, biases[0] if biases else None


def dequantised(node: Node, parts: Sequence[Any]) -> Array:
    """Packed numbers, scales and biases of a node as one float32 matrix, or a stack of them.

    Raises:
        ConversionError: some are no constants.
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(parts):
        raise ConversionError(
            f"{node.op} in {node.scope or 'the function'} reads quantised weights that are computed; "
            "only constant ones can be dequantised at conversion"
        )
    group, bits, mode = node.args[:3]
    # Scales of 16 bits would round what they scale.
    whole = (array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays)
    w, scales, biases = three(map(mx.array, whole))
    dense = mx.dequantize(w, scales, biases, group, bits, QUANTISATIONS[mode], dtype=mx.float32)
    return np.array(dense)


@cache
def _packed(mode: int) -> list[mx.array]:
    dense = mx.sin(mx.arange(64 * 64, dtype=mx.float32)).reshape(64, 64)
    parts = mx.quantize(dense, group_size=_GROUPS[mode], bits=_BITS[mode], mode=QUANTISATIONS[mode])
    mx.eval(parts)
    return list(parts)


def _product(mode: int, transpose: bool = True) -> Callable[[mx.array], mx.array]:
    def product(x: mx.array) -> mx.array:
        w, scales, biases = three(_packed(mode))
        return mx.quantized_matmul(x, w, scales, biases, transpose, _GROUPS[mode], _BITS[mode], QUANTISATIONS[mode])

    return product


def _quantized_matmul(node: Node, x: mx.array, *parts: mx.array) -> mx.array:
    group, bits, mode, transpose = node.args
    w, scales, biases = three(parts)
    return mx.quantized_matmul(x, w, scales, biases, transpose, group, bits, QUANTISATIONS[mode])


primitive(
    "QuantizedMatmul",
    _quantized_matmul,
    [
        Case("affine", _product(0), [(2, 64)]),
        Case("untransposed", _product(0, False), [(2, 3, 64)]),
        Case("mxfp4", _product(1), [(2, 64)]),
        Case("mxfp8", _product(2), [(2, 64)]),
        Case("nvfp4", _product(3), [(2, 64)]),
    ],
)


def _gather_qmm(node: Node, x: mx.array, *rest: mx.array) -> mx.array:
    *parts, left, right = rest
    group, bits, mode, transpose = node.args[:4]
    w, scales, biases = three(parts)
    return mx.gather_qmm(x, w, scales, biases, left, right, transpose, group, bits, QUANTISATIONS[mode])


def _experts(x: mx.array, i: mx.array) -> mx.array:
    w, scales, biases = three(part.reshape(4, 16, -1) for part in _packed(0))
    return mx.gather_qmm(x, w, scales, biases, None, i, True, 32, 4)


primitive(
    "GatherQMM",
    _gather_qmm,
    [
        Case("few", _experts, [(2, 1, 64), integers(2, low=0, high=4)]),
        Case("many", _experts, [(5, 1, 1, 64), integers(5, 2, low=0, high=4)]),
    ],
)
