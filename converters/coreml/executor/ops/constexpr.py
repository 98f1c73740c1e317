"""Compressed constants: quantised, palettised, sparse."""

from __future__ import annotations

import math

import numpy as np

from converters.coreml.executor.blob import unpack_bits
from converters.coreml.executor.ops.common import Array, axis_of, ints
from converters.coreml.executor.ops.elementwise import dequantize
from converters.coreml.executor.registry import Ints, Numbers, op


@op("constexpr_affine_dequantize")
def affine_dequantize(quantized_data: Array, zero_point: Numbers, scale: Numbers, axis: int) -> Array:
    """scale · (q − zero_point), either of them one number or one for each index of ``axis``."""
    return np.asarray(dequantize(quantized_data, scale, zero_point, axis))


@op("constexpr_cast")
def cast(source_val: Numbers, output_dtype: str) -> Array:
    """The constant in fp32."""
    return np.asarray(source_val, np.float32)


def _blocks(table: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The index that spreads a table's leading dimensions over ``shape``: position i reads entry i // block."""
    index = []
    for axis, size in enumerate(shape):
        block, rest = divmod(size, table.shape[axis])
        if rest or not block:
            raise ValueError(f"{table.shape[axis]} blocks do not divide dimension {axis} of {shape}")
        index.append(np.arange(size).reshape([-1] + [1] * (len(shape) - axis - 1)) // block)
    return tuple(index)


def _repeat(table: Array, shape: tuple[int, ...]) -> Array:
    """Each number of a table repeated over its block."""
    if table.ndim != len(shape):
        raise ValueError(f"got a table of shape {table.shape} for data of shape {shape}")
    return table if table.shape == shape else table[_blocks(table, shape)]


@op("constexpr_blockwise_shift_scale")
def blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """scale[b] · (data − offset[b]), the block b of an element being i // block size in each dimension."""
    value = data.astype(np.float32)
    if offset is not None:
        value = value - _repeat(offset.astype(np.float32), data.shape)
    return np.asarray(_repeat(scale, data.shape) * value)


def _look_up(indices: Array, lut: Array, vector_axis: int | None) -> Array:
    """lut[block of i, indices[i], :], the vectors laid out along ``vector_axis``."""
    if lut.ndim != indices.ndim + 2:
        raise ValueError(f"got a lut of shape {lut.shape} for indices of shape {indices.shape}")
    found = lut[(*_blocks(lut, indices.shape), indices)]
    if lut.shape[-1] == 1:
        return np.asarray(found[..., 0])
    if vector_axis is None:
        raise ValueError(f"a lut of vectors of {lut.shape[-1]} lacks its vector_axis")
    axis = axis_of(vector_axis, indices.ndim)
    shape = list(indices.shape)
    shape[axis] *= lut.shape[-1]
    return np.asarray(np.moveaxis(found, -1, axis + 1).reshape(shape))


@op("constexpr_lut_to_dense")
def lut_to_dense(indices: Array, lut: Array, shape: Ints | None = None, vector_axis: int | None = None) -> Array:
    """lut[indices]; with ``shape`` (iOS 16) the indices are packed in bytes, log2 of the lut's length bits each."""
    if shape is None:
        return _look_up(indices, lut, vector_axis)
    if lut.size not in (2, 4, 16, 64, 256):
        raise ValueError(f"lut: got {lut.size} numbers, expected 2, 4, 16, 64 or 256")
    dims = ints(shape)
    flat = unpack_bits(indices, lut.size.bit_length() - 1, math.prod(dims))
    return np.asarray(lut.reshape(-1)[flat].reshape(dims))


def _spread_out(values: Array, mask: Array) -> Array:
    dense = np.zeros(mask.shape, dtype=values.dtype)
    dense[mask != 0] = values
    return dense


@op("constexpr_sparse_to_dense")
def sparse_to_dense(nonzero_data: Array, mask: Array, shape: Ints | None = None) -> Array:
    """The values where the mask is 1, else zero; with ``shape`` (iOS 16) the mask is packed, a bit each."""
    if shape is not None:
        dims = ints(shape)
        mask = unpack_bits(mask, 1, math.prod(dims)).reshape(dims)
    return _spread_out(nonzero_data, mask)


@op("constexpr_lut_to_sparse")
def lut_to_sparse(
    indices_mask: Array, indices_nonzero_data: Array, lut: Array, vector_axis: int | None = None
) -> tuple[Array, Array]:
    """``constexpr_lut_to_dense`` on the values that the mask keeps: the mask, widened by vectors, and the values."""
    dense = _look_up(_spread_out(indices_nonzero_data, indices_mask), lut, vector_axis)
    mask = indices_mask
    if lut.shape[-1] > 1:
        mask = np.repeat(mask, lut.shape[-1], axis=vector_axis)
    return mask, dense[mask != 0]


@op("constexpr_sparse_blockwise_shift_scale")
def sparse_blockwise_shift_scale(
    data_mask: Array, nonzero_data: Array, scale: Array, offset: Array | None = None
) -> tuple[Array, Array]:
    """``constexpr_blockwise_shift_scale`` on the values that the mask keeps: the mask and the values."""
    dense = blockwise_shift_scale(_spread_out(nonzero_data, data_mask), scale, offset)
    return data_mask, dense[data_mask != 0]
