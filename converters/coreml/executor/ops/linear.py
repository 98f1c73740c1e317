"""Products: matmul, linear, einsum, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.coreml.executor.ops.activation import softmax
from converters.coreml.executor.ops.common import Array, many
from converters.coreml.executor.registry import op


@op("matmul")
def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    """x @ y over the last two axes, each transposed there first if asked; the others broadcast."""
    if transpose_x:
        x = np.swapaxes(x, -1, -2)
    if transpose_y:
        y = np.swapaxes(y, -1, -2)
    return np.asarray(np.matmul(x, y))


@op("linear")
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (..., D_in) @ weight (D_out, D_in)ᵀ + bias (D_out)."""
    product = np.matmul(x, weight.T)
    return np.asarray(product if bias is None else product + bias)


@op("einsum")
def einsum(values: Any, equation: str) -> Array:
    """Σ of products by index letters."""
    return np.asarray(np.einsum(equation.replace(" ", ""), *many(values), optimize=True))


@op("scaled_dot_product_attention")
def attention(query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> Array:
    """softmax(q kᵀ / √E + mask) v; a bool mask keeps what is True, a float mask is added."""
    scores = np.matmul(query, np.swapaxes(key, -1, -2)) * np.float32(1 / math.sqrt(query.shape[-1]))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return np.asarray(np.matmul(softmax(scores), value))
