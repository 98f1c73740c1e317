"""Compressed constants, element by element."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.executor.calls import call, normal, whole
from tests.tolerances import close

DATA = whole(-8, 8, 4, 6).astype(np.int8)


def test_affine_dequantize():
    data, scale, centre = whole(0, 255, 3, 4).astype(np.uint8), normal(4), whole(0, 255, 4).astype(np.uint8)
    want = [[(int(n) - int(c)) * s for n, s, c in zip(row, scale.tolist(), centre, strict=True)] for row in data]
    given = {"quantized_data": data, "axis": 1}
    close(call("constexpr_affine_dequantize", **given, scale=scale, zero_point=centre), want, "executor")
    close(
        call("constexpr_affine_dequantize", **given, scale=np.float32(0.5), zero_point=np.uint8(3)),
        (data.astype(np.float32) - 3) / 2,
        "exact",
    )


def test_cast():
    got = call("constexpr_cast", source_val=np.float16([1.1, 2.2]), output_dtype="fp32")
    assert got.dtype == np.float32
    close(got, np.float16([1.1, 2.2]).astype(np.float32), "exact")


@pytest.mark.parametrize("blocks", [(1, 1), (4, 1), (1, 3), (2, 2), (4, 6)])
def test_blockwise_shift_scale(blocks):
    """Also on the values that a mask keeps."""
    scale, offset = normal(*blocks), whole(-4, 4, *blocks, seed=1).astype(np.int8)
    mask = whole(0, 2, 4, 6, seed=2).astype(np.uint8)
    plain, shifted = np.zeros((4, 6)), np.zeros((4, 6))
    for i, j in np.ndindex(4, 6):
        block = (i * blocks[0] // 4, j * blocks[1] // 6)
        plain[i, j] = float(scale[block]) * int(DATA[i, j])
        shifted[i, j] = float(scale[block]) * (int(DATA[i, j]) - int(offset[block]))
    close(call("constexpr_blockwise_shift_scale", data=DATA, scale=scale), plain, "executor")
    close(call("constexpr_blockwise_shift_scale", data=DATA, scale=scale, offset=offset), shifted, "executor")
    for more, want in (({}, plain), ({"offset": offset}, shifted)):
        given = {"data_mask": mask, "nonzero_data": DATA[mask != 0], "scale": scale}
        kept, values = call("constexpr_sparse_blockwise_shift_scale", **given, **more)
        close(kept, mask, "ids")
        close(values, want[mask != 0], "executor")


@pytest.mark.parametrize("table", [(3, 6), (4, 4), (8, 6), (6,)])
def test_blocks_that_do_not_divide_are_refused(table):
    with pytest.raises(ValueError, match=r"blocks do not divide dimension|got a table of shape \(6,\)"):
        call("constexpr_blockwise_shift_scale", data=DATA, scale=normal(*table))


def looked_up(indices, lut, axis):
    """lut (*blocks, palette, width): each index stands for a vector along ``axis``."""
    width = lut.shape[-1]
    out = np.zeros([n * width if a == axis else n for a, n in enumerate(indices.shape)])
    for spot in np.ndindex(*out.shape):
        read = tuple(n // width if a == axis else n for a, n in enumerate(spot))
        block = tuple(n * b // size for n, b, size in zip(read, lut.shape, indices.shape, strict=False))
        out[spot] = lut[(*block, indices[read], spot[axis] % width)]
    return out


@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize(("width", "axis"), [(1, 0), (2, 0), (2, 1), (3, -1)])
def test_palettes(blocks, width, axis):
    indices, lut = whole(0, 4, 4, 6).astype(np.uint8), normal(*blocks, 4, width)
    want = looked_up(indices, lut, axis % 2)
    close(call("constexpr_lut_to_dense", indices=indices, lut=lut, vector_axis=axis), want, "exact")
    mask = whole(0, 2, 4, 6, seed=2).astype(np.uint8)
    given = {"indices_mask": mask, "indices_nonzero_data": indices[mask != 0], "lut": lut, "vector_axis": axis}
    kept, values = call("constexpr_lut_to_sparse", **given)
    wide = np.repeat(mask, width, axis=axis) if width > 1 else mask
    close(kept, wide, "ids")
    close(values, want[wide != 0], "exact")


def test_palettes_that_do_not_fit_are_refused():
    indices = whole(0, 4, 4, 6).astype(np.uint8)
    with pytest.raises(ValueError, match=r"got a lut of shape \(1, 4, 1\) for indices of shape \(4, 6\)"):
        call("constexpr_lut_to_dense", indices=indices, lut=normal(1, 4, 1))
    with pytest.raises(ValueError, match="a lut of vectors of 2 lacks its vector_axis"):
        call("constexpr_lut_to_dense", indices=indices, lut=normal(1, 1, 4, 2))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_packed_palettes(bits):
    """iOS 16: so many bits an index, the first in the lowest bits of the first byte."""
    lut, indices = normal(2**bits), whole(0, 2**bits, 3, 5)
    stream = [index >> bit & 1 for index in indices.reshape(-1).tolist() for bit in range(bits)]
    stream += [0] * (-len(stream) % 8)
    packed = [sum(bit << n for n, bit in enumerate(stream[i : i + 8])) for i in range(0, len(stream), 8)]
    got = call("constexpr_lut_to_dense", indices=np.array(packed, np.uint8), lut=lut, shape=np.array([3, 5]))
    close(got, lut[indices], "exact")


def test_palette_of_another_size_is_refused():
    with pytest.raises(ValueError, match="lut: got 8 numbers, expected 2, 4, 16, 64 or 256"):
        call("constexpr_lut_to_dense", indices=np.zeros(9, np.uint8), lut=normal(8), shape=np.array([4]))


def test_sparse():
    mask = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]], np.uint8)
    values, want = np.float32([3, 4, 5, 6, 7]), [[3, 0, 4], [0, 5, 6], [0, 0, 7]]
    close(call("constexpr_sparse_to_dense", nonzero_data=values, mask=mask), want, "exact")
    packed = np.array([0b00110101, 0b1], np.uint8)
    got = call("constexpr_sparse_to_dense", nonzero_data=values, mask=packed, shape=np.array([3, 3]))
    close(got, want, "exact")
    whole_numbers = call("constexpr_sparse_to_dense", nonzero_data=values.astype(np.int8), mask=mask)
    assert whole_numbers.dtype == np.int8
