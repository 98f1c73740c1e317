"""Compressed constants: quantised, palettised, sparse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.coreml.executor.blob import unpack_bits
from converters.coreml.executor.ops.common import Array, ints, per_channel
from converters.coreml.executor.registry import op


@op("constexpr_affine_dequantize")
def affine_dequantize(quantized_data: Array, zero_point: Any, scale: Any, axis: int) -> Array:
    """scale · (q − zero_point), either of them one number or one for each index of ``axis``."""

    def spread(value: Any) -> Any:
        return value if np.ndim(value) == 0 else per_channel(value, quantized_data.ndim, int(axis))

    centred = quantized_data.astype(np.float32) - np.asarray(spread(zero_point), np.float32)
    return np.asarray(centred * spread(scale))


@op("constexpr_cast")
def cast(source_val: Any, output_dtype: str) -> Array:
    """The constant in fp32."""
    return np.asarray(source_val, np.float32)


def _repeat(table: Array, shape: tuple[int, ...]) -> Array:
    """Leading dimensions repeated in blocks up to ``shape``: index i reads entry i // block."""
    for axis, size in enumerate(shape):
        block, rest = divmod(size, table.shape[axis])
        if rest:
            raise ValueError(f"{table.shape[axis]} blocks do not divide dimension {axis} of {shape}")
        if block > 1:
            table = np.repeat(table, block, axis)
    return table


@op("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """scale[b] · (data − offset[b]), the block b of an element being i // block size in each dimension."""
    value = data.astype(np.float32)
    if offset is not None:
        value = value - _repeat(offset.astype(np.float32), data.shape)
    return np.asarray(_repeat(scale, data.shape) * value)


def _look_up(indices: Array, lut: Array, vector_axis: Any) -> Array:
    """lut[block of i, indices[i], :], the vectors laid out along ``vector_axis``."""
    rank = indices.ndim
    table = _repeat(lut, indices.shape)
    found = np.take_along_axis(table, indices[..., None, None].astype(np.int64), axis=rank)[..., 0, :]
    if lut.shape[-1] == 1:
        return np.asarray(found[..., 0])
    axis = int(vector_axis) % rank
    shape = list(indices.shape)
    shape[axis] *= lut.shape[-1]
    return np.asarray(np.moveaxis(found, -1, axis + 1).reshape(shape))


@op("constexpr_lut_to_dense")
def lut_to_dense(indices: Array, lut: Array, shape: Any = None, vector_axis: Any = None) -> Array:
    """lut[indices]; with ``shape`` (iOS 16) the indices are packed in bytes, log2 of the lut's length bits each."""
    if shape is None:
        return _look_up(indices, lut, vector_axis)
    dims = ints(shape)
    flat = unpack_bits(indices, int(math.log2(lut.size)), math.prod(dims))
    return np.asarray(lut.reshape(-1)[flat].reshape(dims))


def _spread_out(values: Array, mask: Array) -> Array:
    dense = np.zeros(mask.shape, dtype=values.dtype)
    dense[mask != 0] = values
    return dense


@op("constexpr_sparse_to_dense")
def sparse_to_dense(nonzero_data: Array, mask: Array, shape: Any = None) -> Array:
    """The values where the mask is 1, else zero; with ``shape`` (iOS 16) the mask is packed, a bit each."""
    if shape is not None:
        dims = ints(shape)
        mask = unpack_bits(mask, 1, math.prod(dims)).reshape(dims)
    return _spread_out(nonzero_data, mask)


@op("constexpr_lut_to_sparse")
def lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: Any = None
) -> tuple[Array, Array]:
    """``constexpr_lut_to_dense`` on the values that the mask keeps: the mask, widened by vectors, and the values."""
    dense = _look_up(_spread_out(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], axis=int(vector_axis))
    return mask, dense[mask != 0]


@op("constexpr_sparse_blockwise_shift_scale")
def sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """``constexpr_blockwise_shift_scale`` on the values that the mask keeps: the mask and the values."""
    dense = blockwise_shift_scale(_spread_out(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]
