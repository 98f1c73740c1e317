"""Products: matmul, linear, einsum, attention."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from converters.coreml.executor.ops.activation import softmax
from converters.coreml.executor.ops.common import Array, product
from converters.coreml.executor.registry import Several, op


def _products(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> int:
    if min(x.ndim, y.ndim) < 2:
        return max(x.size, y.size)
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return product((*batch, x.shape[-1 if transpose_x else -2], y.shape[-2 if transpose_y else -1]))


@op("matmul", makes=_products)
def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    """x @ y over the last two axes, each transposed there first if asked; the others broadcast."""
    if transpose_x:
        x = np.swapaxes(x, -1, -2)
    if transpose_y:
        y = np.swapaxes(y, -1, -2)
    return np.asarray(np.matmul(x, y))


def _linear_makes(x: Array, weight: Array, bias: Array | None = None) -> int:
    out = (*x.shape[:-1], weight.shape[0])
    return product(out if bias is None else np.broadcast_shapes(out, bias.shape))


@op("linear", makes=_linear_makes)
def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (..., D_in) @ weight (D_out, D_in)ᵀ + bias (D_out)."""
    product = np.matmul(x, weight.T)
    return np.asarray(product if bias is None else product + bias)


def _letters(equation: str) -> tuple[list[str], str]:
    """The letters of each operand's dimensions, and of the result's."""
    found = re.fullmatch(r"([A-Za-z]+(?:,[A-Za-z]+)*)->([A-Za-z]*)", equation.replace(" ", ""))
    if found is None:
        raise NotImplementedError(f"no implementation of {equation!r}; there is one of letters, as in ij,jk->ik")
    return found[1].split(","), found[2]


def _einsum_makes(values: tuple[Any, ...], equation: str) -> int:
    parts, out = _letters(equation)
    sizes = {
        c: n for part, value in zip(parts, values, strict=True) for c, n in zip(part, np.shape(value), strict=True)
    }
    return math.prod(sizes[c] for c in out)


@op("einsum", makes=_einsum_makes)
def einsum(values: Several, equation: str) -> Array:
    """Σ of products by index letters."""
    parts, out = _letters(equation)
    return np.asarray(np.einsum(f"{','.join(parts)}->{out}", *values, optimize=True))


def _scores(query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> int:
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    scores = (*batch, query.shape[-2], key.shape[-2])
    return product(scores if attn_mask is None else np.broadcast_shapes(scores, attn_mask.shape))


def _attends(query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> int:
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    return product((*batch, query.shape[-2], value.shape[-1]))


@op("scaled_dot_product_attention", makes=_attends, needs=_scores)
def attention(query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> Array:
    """softmax(q kᵀ / √E + mask) v; a bool mask keeps what is True, a float mask is added."""
    scores = np.matmul(query, np.swapaxes(key, -1, -2)) * np.float32(1 / math.sqrt(query.shape[-1]))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return np.asarray(np.matmul(softmax(scores), value))
