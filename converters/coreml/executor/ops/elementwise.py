"""Elementwise operations of one, two or three tensors, casts and quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf as _erf

from converters.coreml.executor.blob import STORAGE
from converters.coreml.executor.ops.common import Array, per_channel
from converters.coreml.executor.registry import Node, op

UNARY = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": _erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "logical_not": np.logical_not,
    "round": np.rint,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
}
BINARY = {
    "add": np.add,
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "sub": np.subtract,
}


def _register_tables() -> None:
    for name, unary in UNARY.items():
        op(name)(lambda x, function=unary: function(x))
    for name, binary in BINARY.items():
        op(name)(lambda x, y, function=binary: function(x, y))


_register_tables()


def _whole(x: Any) -> bool:
    return np.asarray(x).dtype.kind in "iub"


@op("identity")
def identity(x: Any) -> Any:
    """The tensor itself."""
    return x


@op("real_div")
def real_div(x: Any, y: Any) -> Array:
    """x / y; of two integers, the quotient truncated toward zero."""
    if _whole(x) and _whole(y):
        return np.asarray(np.trunc(np.asarray(x, np.float64) / np.asarray(y, np.float64)))
    return np.asarray(np.true_divide(x, y))


@op("pow")
def power(x: Any, y: Any) -> Array:
    """x^y; of two integers too, where a negative y gives what truncation leaves."""
    if _whole(x) and _whole(y):
        return np.asarray(np.trunc(np.power(np.asarray(x, np.float64), y)))
    return np.asarray(np.power(x, y))


@op("floor_div")
def floor_div(x: Any, y: Any) -> Array:
    """floor(x / y)."""
    return np.asarray(np.floor_divide(x, y))


@op("mod")
def mod(x: Any, y: Any) -> Array:
    """x − y · floor(x / y): the remainder has the sign of y."""
    return np.asarray(np.mod(x, y))


@op("log", node=True)
def log(x: Any, node: Node, epsilon: float | None = None) -> Array:
    """ln(x + ε); the default 1e-45 is zero in fp16."""
    default = 0.0 if node.half else np.float32(1e-45)
    return np.asarray(np.log(x + (default if epsilon is None else np.float32(epsilon))))


@op("rsqrt", node=True)
def rsqrt(x: Any, node: Node, epsilon: float | None = None) -> Array:
    """1 / √(x + ε); the default 1e-12 is zero in fp16."""
    default = 0.0 if node.half else np.float32(1e-12)
    return np.asarray(1 / np.sqrt(x + (default if epsilon is None else np.float32(epsilon))))


@op("inverse")
def inverse(x: Any, epsilon: float = 1e-4) -> Array:
    """1 / (x + ε)."""
    return np.asarray(1 / (x + epsilon))


@op("clip")
def clip(x: Any, alpha: Any, beta: Any) -> Array:
    """min(max(x, α), β)."""
    return np.asarray(np.minimum(np.maximum(x, alpha), beta))


@op("threshold")
def threshold(x: Any, alpha: Any) -> Array:
    """max(x, α)."""
    return np.asarray(np.maximum(x, alpha))


@op("select")
def select(cond: Any, a: Any, b: Any) -> Array:
    """``a`` where ``cond`` holds, else ``b``."""
    return np.asarray(np.where(np.asarray(cond).astype(bool), a, b))


@op("cast")
def cast(x: Any, dtype: str) -> Array:
    """x in another dtype: floats to integers truncate toward zero and saturate, anything but zero is True."""
    value = np.asarray(x)
    target = STORAGE[dtype]
    if target.kind in "iu" and value.dtype.kind == "f":
        info = np.iinfo(target)
        whole = np.clip(np.trunc(value.astype(np.float64)), info.min, info.max)
        return np.asarray(np.nan_to_num(whole).astype(target))
    return value.astype(np.float32) if target.kind == "f" else value.astype(target)


def _spread(vector: Any, rank: int, axis: Any) -> Any:
    return vector if axis is None or np.ndim(vector) == 0 else per_channel(vector, rank, int(axis))


@op("quantize")
def quantize(input: Array, scale: Any, output_dtype: str, zero_point: Any = 0, axis: Any = None) -> Array:
    """clip(round(x / scale) + zero_point), rounded half to even, to the range of ``output_dtype``."""
    rank = input.ndim
    info = np.iinfo(STORAGE[output_dtype])
    whole = np.rint(input / _spread(scale, rank, axis))
    return np.asarray(np.clip(whole + np.asarray(_spread(zero_point, rank, axis), np.float32), info.min, info.max))


@op("dequantize")
def dequantize(input: Array, scale: Any, zero_point: Any = 0, axis: Any = None) -> Array:
    """scale · (x − zero_point)."""
    rank = input.ndim
    centred = input.astype(np.float32) - np.asarray(_spread(zero_point, rank, axis), np.float32)
    return np.asarray(centred * _spread(scale, rank, axis))
