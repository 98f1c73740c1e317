"""Elementwise operations of one, two or three tensors, casts and quantisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf as _erf

from converters.coreml.executor.blob import STORAGE
from converters.coreml.executor.ops.common import Array, broadcast, per_channel
from converters.coreml.executor.registry import Function, Node, Numbers, op

UNARY: dict[str, Function] = {
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
BINARY: dict[str, Function] = {
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
    def one(function: Function) -> Function:
        def run(x: Numbers) -> Any:
            return function(x)

        return run

    def two(function: Function) -> Function:
        def run(x: Numbers, y: Numbers) -> Any:
            return function(x, y)

        return run

    for name, unary in UNARY.items():
        op(name)(one(unary))
    for name, binary in BINARY.items():
        op(name, makes=broadcast)(two(binary))


_register_tables()


def _whole(x: Any) -> bool:
    return np.asarray(x).dtype.kind in "iub"


@op("identity")
def identity(x: Numbers) -> Any:
    """The tensor itself."""
    return x


@op("real_div", makes=broadcast)
def real_div(x: Numbers, y: Numbers) -> Array:
    """x / y; of two integers, the quotient truncated toward zero."""
    if _whole(x) and _whole(y):
        return np.asarray(np.trunc(np.asarray(x, np.float64) / np.asarray(y, np.float64)))
    return np.asarray(np.true_divide(x, y))


@op("pow", makes=broadcast)
def power(x: Numbers, y: Numbers) -> Array:
    """x^y; of two integers too, where a negative y gives what truncation leaves."""
    if _whole(x) and _whole(y):
        return np.asarray(np.trunc(np.power(np.asarray(x, np.float64), y)))
    return np.asarray(np.power(x, y))


@op("floor_div", makes=broadcast)
def floor_div(x: Numbers, y: Numbers) -> Array:
    """floor(x / y)."""
    return np.asarray(np.floor_divide(x, y))


@op("mod", makes=broadcast)
def mod(x: Numbers, y: Numbers) -> Array:
    """x − y · floor(x / y): the remainder has the sign of y."""
    return np.asarray(np.mod(x, y))


@op("log", node=True)
def log(x: Numbers, node: Node, epsilon: float | None = None) -> Array:
    """ln(x + ε); the default 1e-45 is zero in fp16."""
    default = 0.0 if node.half else np.float32(1e-45)
    return np.asarray(np.log(x + (default if epsilon is None else np.float32(epsilon))))


@op("rsqrt", node=True)
def rsqrt(x: Numbers, node: Node, epsilon: float | None = None) -> Array:
    """1 / √(x + ε); the default 1e-12 is zero in fp16."""
    default = 0.0 if node.half else np.float32(1e-12)
    return np.asarray(1 / np.sqrt(x + (default if epsilon is None else np.float32(epsilon))))


@op("inverse")
def inverse(x: Numbers, epsilon: float = 1e-4) -> Array:
    """1 / (x + ε)."""
    return np.asarray(1 / (x + epsilon))


@op("clip")
def clip(x: Numbers, alpha: float, beta: float) -> Array:
    """min(max(x, α), β)."""
    return np.asarray(np.minimum(np.maximum(x, alpha), beta))


@op("threshold")
def threshold(x: Numbers, alpha: float) -> Array:
    """max(x, α)."""
    return np.asarray(np.maximum(x, alpha))


@op("select", makes=broadcast)
def select(cond: Numbers, a: Numbers, b: Numbers) -> Array:
    """``a`` where ``cond`` holds, else ``b``."""
    return np.asarray(np.where(np.asarray(cond).astype(bool), a, b))


@op("cast")
def cast(x: Numbers, dtype: str) -> Array:
    """x in another dtype: floats to integers truncate toward zero and saturate, anything but zero is True."""
    value = np.asarray(x)
    target = STORAGE[dtype]
    if target.kind in "iu" and value.dtype.kind == "f":
        info = np.iinfo(target)
        whole = np.clip(np.trunc(value.astype(np.float64)), info.min, info.max)
        return np.asarray(np.nan_to_num(whole).astype(target))
    return value.astype(np.float32) if target.kind == "f" else value.astype(target)


def spread(vector: Any, x: Array, axis: int | None) -> Any:
    """One number as it is, a vector along ``axis``."""
    if np.ndim(vector) == 0:
        return vector
    if axis is None:
        raise ValueError(f"a vector of shape {np.shape(vector)} lacks its axis")
    return per_channel(vector, x, int(axis))


@op("quantize")
def quantize(
    input: Array, scale: Numbers, output_dtype: str, zero_point: Numbers = 0, axis: int | None = None
) -> Array:
    """clip(round(x / scale) + zero_point), rounded half to even, to the range of ``output_dtype``."""
    info = np.iinfo(STORAGE[output_dtype])
    whole = np.rint(input / spread(scale, input, axis))
    return np.asarray(np.clip(whole + np.asarray(spread(zero_point, input, axis), np.float32), info.min, info.max))


@op("dequantize")
def dequantize(input: Array, scale: Numbers, zero_point: Numbers = 0, axis: int | None = None) -> Array:
    """scale · (x − zero_point)."""
    centred = input.astype(np.float32) - np.asarray(spread(zero_point, input, axis), np.float32)
    return np.asarray(centred * spread(scale, input, axis))
