"""MIL operations in NumPy, a file for each family."""

from __future__ import annotations

from converters.coreml.executor.ops import (
    activation,
    constexpr,
    conv,
    elementwise,
    index,
    linear,
    norm,
    recurrent,
    reduce,
    resize,
    shape,
)
from converters.coreml.executor.registry import OPS

__all__ = [
    "OPS",
    "activation",
    "constexpr",
    "conv",
    "elementwise",
    "index",
    "linear",
    "norm",
    "recurrent",
    "reduce",
    "resize",
    "shape",
]
