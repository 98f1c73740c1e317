"""Smaller weights: 8-bit integers, and a scale for each block of them."""

from __future__ import annotations

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.graph import Array

MIN_SIZE = 2048
"""Weights of fewer numbers stay as they are: scales and biases are where small errors do most harm."""
BLOCK = 64
"""Weights that share a scale."""
_MOST = 127


def worth(array: Array) -> bool:
    """Whether a constant is one of the weights that are stored in 8 bits."""
    return array.dtype.kind == "f" and array.ndim > 1 and array.size >= MIN_SIZE


def compressed(array: Array, axis: int) -> Value:
    """A constant held as int8, in blocks along ``axis``, the one that products sum over; computed with in float16."""
    block = BLOCK if array.shape[axis] % BLOCK == 0 else array.shape[axis]
    shape = (*array.shape[:axis], array.shape[axis] // block, block, *array.shape[axis + 1 :])
    parts = array.astype(np.float32).reshape(shape)
    scale = (np.abs(parts).max(axis + 1, keepdims=True) / _MOST).astype(np.float16)
    whole = np.divide(parts, scale, out=np.zeros_like(parts), where=scale > 0)
    data = np.clip(np.rint(whole), -_MOST, _MOST).astype(np.int8).reshape(array.shape)
    scale = scale.squeeze(axis + 1)
    zeros = (b.const(np.zeros(scale.shape), kind) for kind in (np.int8, np.float16))
    return b.dialect.blockwise_shift_scale(b.const(data), b.const(scale), *zeros)
