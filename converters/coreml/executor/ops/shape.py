"""Operations that move, repeat or make elements and compute none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.coreml.executor.ops.common import Array, axes_of, axis_of, ints, product
from converters.coreml.executor.registry import Flags, Ints, Number, Numbers, Several, op


@op("reshape")
def reshape(x: Array, shape: Ints) -> Array:
    """The same elements in row-major order; 0 keeps a dimension of x, one −1 is what remains."""
    target = ints(shape)
    if 0 in target and x.size and len(target) == x.ndim:
        target = tuple(d or x.shape[i] for i, d in enumerate(target))
    return np.asarray(x.reshape(target))


@op("reshape_like")
def reshape_like(x: Array, ref_tensors: Several, begins: Several, ends: Several, end_masks: Several) -> Array:
    """x in the shape put together from ranges of the shapes of ``ref_tensors``."""
    shape: list[int] = []
    for ref, begin, end, mask in zip(ref_tensors, begins, ends, end_masks, strict=True):
        shape += np.shape(ref)[int(begin) : None if mask else int(end)]
    return x.reshape(shape)


@op("flatten2d")
def flatten2d(x: Array, axis: int = 1) -> Array:
    """(the product of the dimensions before ``axis``, the product of the others)."""
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@op("shape")
def shape_of(x: Numbers) -> Array:
    """The dimensions as int32."""
    return np.array(np.shape(x), dtype=np.int32)


@op("expand_dims")
def expand_dims(x: Array, axes: Ints) -> Array:
    """New dimensions of length 1 at the positions ``axes`` of the result."""
    return np.expand_dims(x, ints(axes))


@op("squeeze")
def squeeze(x: Array, axes: Ints | None = None) -> Array:
    """Without those of ``axes``, or of all, that have length 1."""
    return np.squeeze(x, tuple(a for a in axes_of(axes, x.ndim) if x.shape[a] == 1))


@op("transpose")
def transpose(x: Array, perm: Ints) -> Array:
    """Dimension i of the result is dimension ``perm[i]`` of x."""
    return np.transpose(x, ints(perm))


def _together(values: tuple[Any, ...], **_: Any) -> int:
    return sum(int(np.size(value)) for value in values)


@op("concat", makes=_together)
def concat(values: Several, axis: int, interleave: bool = False) -> Array:
    """Tensors one after the other along ``axis``, or element by element if ``interleave``."""
    parts = [np.atleast_1d(v) for v in values]
    if not interleave:
        return np.concatenate(parts, axis=axis)
    axis = axis_of(axis, parts[0].ndim)
    shape = list(parts[0].shape)
    shape[axis] *= len(parts)
    return np.stack(parts, axis=axis + 1).reshape(shape)


@op("stack", makes=_together)
def stack(values: Several, axis: int) -> Array:
    """Tensors side by side along a new dimension ``axis``."""
    return np.stack(values, axis=axis)


@op("split", makes=lambda num_splits=None, **_: int(num_splits or 0), reads="num_splits")
def split(x: Array, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None) -> tuple[Array, ...]:
    """Parts of equal length along ``axis``, or of the lengths ``split_sizes``."""
    if split_sizes is not None:
        return tuple(np.split(x, np.cumsum(ints(split_sizes))[:-1], axis=axis))
    if num_splits is None:
        raise ValueError("neither num_splits nor split_sizes is given")
    return tuple(np.split(x, int(num_splits), axis=axis))


@op("tile", makes=lambda x, reps: x.size * product(ints(reps)), reads="reps")
def tile(x: Array, reps: Ints) -> Array:
    """Dimension i repeated ``reps[i]`` times."""
    return np.tile(x, ints(reps))


@op("reverse")
def reverse(x: Array, axes: Ints | None = None) -> Array:
    """The order of the elements reversed along ``axes``, or along all."""
    return np.flip(x, axes_of(axes, x.ndim))


@op("reverse_sequence")
def reverse_sequence(x: Array, lengths: Ints, seq_axis: int = 0, batch_axis: int = 0) -> Array:
    """For each element i of ``batch_axis``, the first ``lengths[i]`` elements of ``seq_axis`` reversed."""
    moved = np.moveaxis(x, (batch_axis, seq_axis), (0, 1)).copy()
    for row, length in zip(moved, ints(lengths), strict=True):
        row[:length] = row[:length][::-1].copy()
    return np.moveaxis(moved, (0, 1), (batch_axis, seq_axis))


def _slices(
    x: Array, begin: Any, end: Any, stride: Any, begin_mask: Any, end_mask: Any, squeeze_mask: Any
) -> tuple[Any, ...]:
    """The NumPy index of a slice with masks; a squeezed dimension is indexed by its begin."""
    first, last = ints(begin), ints(end)
    rank = x.ndim
    if len(first) != rank or len(last) != rank:
        raise ValueError(f"begin {first} and end {last} must have one number for each dimension of {x.shape}")
    step = (1,) * rank if stride is None else ints(stride)
    no = (False,) * rank
    open_begin = no if begin_mask is None else np.asarray(begin_mask).tolist()
    open_end = no if end_mask is None else np.asarray(end_mask).tolist()
    dropped = no if squeeze_mask is None else np.asarray(squeeze_mask).tolist()
    return tuple(
        (0 if open_begin[i] else first[i])
        if dropped[i]
        else slice(None if open_begin[i] else first[i], None if open_end[i] else last[i], step[i])
        for i in range(rank)
    )


@op("slice_by_index")
def slice_by_index(
    x: Array,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Flags | None = None,
    end_mask: Flags | None = None,
    squeeze_mask: Flags | None = None,
) -> Array:
    """x[begin:end:stride] in each dimension; a mask opens an end of the range or drops the dimension."""
    return np.asarray(x[_slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)])


@op("slice_update")
def slice_update(
    x: Array,
    update: Array,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Flags | None = None,
    end_mask: Flags | None = None,
    squeeze_mask: Flags | None = None,
) -> Array:
    """x with the slice of ``slice_by_index`` replaced by ``update``, which has its shape."""
    out = x.copy()
    index = _slices(x, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    if out[index].shape != np.shape(update):
        raise ValueError(f"update has shape {np.shape(update)}, the slice {out[index].shape}")
    out[index] = update
    return out


@op("slice_by_size")
def slice_by_size(x: Array, begin: Ints, size: Ints) -> Array:
    """``size`` elements from ``begin`` on in each dimension; −1 takes all that remain."""
    index = []
    for length, first, count in zip(x.shape, ints(begin), ints(size), strict=True):
        start = first + length if first < 0 else first
        stop = length if count == -1 else start + count
        if not 0 <= start <= stop <= length:
            raise ValueError(f"elements {start} to {stop} of a dimension of {length}")
        index.append(slice(start, stop))
    return x[tuple(index)]


def _widths(x: Array, pad: Any) -> list[list[int]]:
    width: list[list[int]] = np.asarray(pad).reshape(-1, 2).tolist()
    if len(width) > x.ndim:
        raise ValueError(f"{len(width)} pairs for the shape {x.shape}")
    return [[0, 0]] * (x.ndim - len(width)) + width


@op(
    "pad",
    makes=lambda x, pad, **_: product(n + sum(width) for n, width in zip(x.shape, _widths(x, pad), strict=True)),
    reads="pad",
)
def pad(x: Array, pad: Ints, mode: str = "constant", constant_val: Number = 0) -> Array:
    """The last len(pad) / 2 dimensions extended by (before, after) elements, in order."""
    width = _widths(x, pad)
    if mode == "constant":
        return np.pad(x, width, constant_values=constant_val)
    if mode == "reflect":
        return np.pad(x, width, mode="reflect")
    if mode == "replicate":
        return np.pad(x, width, mode="edge")
    raise ValueError(f"unknown mode {mode!r}; known are constant, reflect and replicate")


@op("crop")
def crop(x: Array, crop_height: Ints, crop_width: Ints) -> Array:
    """x (..., H, W) without the (first, last) rows and columns given."""
    top, bottom = ints(crop_height)
    left, right = ints(crop_width)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


@op("fill", makes=lambda shape, **_: product(ints(shape)), reads="shape")
def fill(shape: Ints, value: Number = 0.0) -> Array:
    """A tensor of the shape given with one value everywhere."""
    return np.full(ints(shape), value)


@op("fill_like")
def fill_like(ref_tensor: Numbers, value: Number = 0.0) -> Array:
    """A tensor of the shape of another with one value everywhere."""
    return np.full(np.shape(ref_tensor), value)


def _count(start: Any, end: Any, step: Any) -> int:
    first, last, delta = (float(np.asarray(v)) for v in (start, end, step))
    return max(0, math.ceil((last - first) / delta))


@op("range_1d", makes=_count, reads="start end step")
def range_1d(start: Number, end: Number, step: Number) -> Array:
    """start, start + step, … up to but without ``end``."""
    first, delta = np.asarray(start).item(), np.asarray(step).item()
    return np.asarray(first + delta * np.arange(_count(start, end, step)))


@op("band_part")
def band_part(x: Array, lower: int = -1, upper: int = -1) -> Array:
    """Zero outside ``lower`` diagonals below and ``upper`` above the main one; −1 keeps all."""
    rows, columns = np.indices(x.shape[-2:])
    kept = ((lower < 0) | (rows - columns <= lower)) & ((upper < 0) | (columns - rows <= upper))
    return np.where(kept, x, np.zeros((), x.dtype))


@op("sliding_windows", makes=lambda x, size, **_: x.size * int(size), reads="size")
def sliding_windows(x: Array, axis: int, size: int, stride: int = 1) -> Array:
    """All windows of ``size`` along ``axis``; the position in the window is a new dimension behind it."""
    axis = axis_of(axis, x.ndim)
    windows = np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, size, axis=axis), -1, axis + 1)
    return windows[(slice(None),) * axis + (slice(None, None, stride),)]


@op("pixel_shuffle")
def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """(n, C f², H, W) -> (n, C, H f, W f); channel c f² + i f + j goes to row i, column j of the block."""
    n, c, h, w = x.shape
    f = int(upscale_factor)
    return x.reshape(n, c // f**2, f, f, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // f**2, h * f, w * f)


@op("pixel_unshuffle")
def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """The inverse of ``pixel_shuffle``."""
    n, c, h, w = x.shape
    f = int(downscale_factor)
    return x.reshape(n, c, h // f, f, w // f, f).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * f**2, h // f, w // f)


@op("depth_to_space")
def depth_to_space(x: Array, block_size: int) -> Array:
    """(n, C b², H, W) -> (n, C, H b, W b); channel (i b + j) C + c goes to row i, column j of the block."""
    n, c, h, w = x.shape
    b = int(block_size)
    return x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


@op("space_to_depth")
def space_to_depth(x: Array, block_size: int) -> Array:
    """The inverse of ``depth_to_space``."""
    n, c, h, w = x.shape
    b = int(block_size)
    return x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


@op(
    "space_to_batch",
    makes=lambda x, paddings, **_: (
        math.prod(x.shape[:2])
        * math.prod(n + sum(width) for n, width in zip(x.shape[2:], np.asarray(paddings).tolist(), strict=True))
    ),
    reads="paddings",
)
def space_to_batch(x: Array, block_shape: Ints, paddings: Ints) -> Array:
    """Pad, then move row i, column j of each block into the batch, at (i b_w + j) n."""
    a, b = ints(block_shape)
    x = np.pad(x, [(0, 0), (0, 0), *np.asarray(paddings).tolist()])
    n, c, h, w = x.shape
    return x.reshape(n, c, h // a, a, w // b, b).transpose(3, 5, 0, 1, 2, 4).reshape(n * a * b, c, h // a, w // b)


@op("batch_to_space")
def batch_to_space(x: Array, block_shape: Ints, crops: Ints) -> Array:
    """The inverse of ``space_to_batch``: out of the batch into blocks, then crop."""
    a, b = ints(block_shape)
    n, c, h, w = x.shape
    n //= a * b
    x = x.reshape(a, b, n, c, h, w).transpose(2, 3, 4, 0, 5, 1).reshape(n, c, h * a, w * b)
    (top, bottom), (left, right) = np.asarray(crops).tolist()
    return x[:, :, top : h * a - bottom, left : w * b - right]
