"""Resizing and resampling of images: the last two dimensions, or those asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.coreml.executor.ops.common import Array, ints, product
from converters.coreml.executor.registry import Ints, op


def grid(length: float, count: int, mode: str) -> Array:
    """The positions, in an interval of ``length`` pixels, of ``count`` samples (float64).

    STRICT_ALIGN_CORNERS i (L − 1) / (n − 1), ALIGN_CORNERS the same but the middle for one sample,
    DEFAULT i L / n, UNALIGN_CORNERS (i + ½) L / n − ½, OFFSET_CORNERS (i + ½) max(1, L − 1) / n.
    """
    i = np.arange(count, dtype=np.float64)
    if mode in {"STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"}:
        if count == 1:
            return np.array([(length - 1) / 2 if mode == "ALIGN_CORNERS" else 0.0])
        positions = i * (length - 1) / (count - 1)
    elif mode == "DEFAULT":
        positions = i * length / count
    elif mode == "UNALIGN_CORNERS":
        positions = (i + 0.5) * length / count - 0.5
    elif mode == "OFFSET_CORNERS":
        positions = (i + 0.5) * max(1.0, length - 1) / count
    else:
        raise ValueError(f"unknown sampling mode {mode!r}")
    return np.clip(positions, 0, max(0.0, length - 1))


def _linear(x: Array, axis: int, positions: Array) -> Array:
    """Linear interpolation along ``axis`` at fractional positions."""
    low = np.floor(positions).astype(np.int64)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    shape = [1] * x.ndim
    shape[axis] = -1
    part = (positions - low).astype(np.float32).reshape(shape)
    return np.asarray(np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part)


def _nearest(x: Array, axis: int, count: int) -> Array:
    """The pixel floor(i · L / n)."""
    positions = np.arange(count) * x.shape[axis] // count
    return np.asarray(np.take(x, positions, axis))


def _scaled(size: int, factor: float) -> int:
    return math.floor(np.float32(size) * np.float32(factor))


def _growth(sizes: Callable[..., list[int]], reads: str) -> dict[str, Any]:
    """What ``op`` is to know of an operation that brings the last dimensions to ``sizes``, one after the other."""

    def makes(x: Array, **given: Any) -> int:
        new = sizes(x, **given)
        return product(x.shape[: x.ndim - len(new)]) * product(new)

    def needs(x: Array, **given: Any) -> int:
        new = sizes(x, **given)
        kept = x.ndim - len(new)
        grown = [max(1, n, m) for n, m in zip(x.shape[kept:], new, strict=True)]
        return max(1, product(x.shape[:kept])) * product(grown)

    return {"makes": makes, "needs": needs, "reads": reads}


_BY_FACTOR = _growth(
    lambda x, scale_factor_height=1, scale_factor_width=1, **_: [
        _scaled(x.shape[-2], scale_factor_height),
        _scaled(x.shape[-1], scale_factor_width),
    ],
    "scale_factor_height scale_factor_width",
)
_TO_SIZE = _growth(
    lambda x, target_size_height=1, target_size_width=1, **_: [int(target_size_height), int(target_size_width)],
    "target_size_height target_size_width",
)
_TO_SHAPE = _growth(
    lambda x, shape, resized_dims, **_: [
        n or m for n, m in zip(ints(shape)[-int(resized_dims) :], x.shape[-int(resized_dims) :], strict=True)
    ],
    "shape resized_dims",
)


@op("upsample_nearest_neighbor", **_BY_FACTOR)
def upsample_nearest_neighbor(x: Array, scale_factor_height: float = 1, scale_factor_width: float = 1) -> Array:
    """H and W times the factors, rounded down; each pixel from floor(i / factor)."""
    for axis, factor in ((x.ndim - 2, scale_factor_height), (x.ndim - 1, scale_factor_width)):
        count = _scaled(x.shape[axis], factor)
        positions = np.floor(np.arange(count) / float(factor)).astype(np.int64)
        x = np.take(x, np.minimum(positions, x.shape[axis] - 1), axis)
    return x


@op("resize_nearest_neighbor", **_TO_SIZE)
def resize_nearest_neighbor(x: Array, target_size_height: int, target_size_width: int) -> Array:
    """H and W as given; each pixel from floor(i · H_in / H_out)."""
    return _nearest(_nearest(x, x.ndim - 2, target_size_height), x.ndim - 1, target_size_width)


@op("upsample_bilinear", **_BY_FACTOR)
def upsample_bilinear(
    x: Array,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Array:
    """H and W times the factors, rounded down; sampled by the ratio of the sizes."""
    half = (not align_corners) if half_pixel_centers is None else half_pixel_centers
    if align_corners and half:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    for axis, factor in ((x.ndim - 2, scale_factor_height), (x.ndim - 1, scale_factor_width)):
        x = _linear(x, axis, grid(x.shape[axis], _scaled(x.shape[axis], factor), mode))
    return x


@op("resize_bilinear", **_TO_SIZE)
def resize_bilinear(
    x: Array, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Array:
    """H and W as given, by bilinear interpolation."""
    for axis, count in ((x.ndim - 2, target_size_height), (x.ndim - 1, target_size_width)):
        x = _linear(x, axis, grid(x.shape[axis], count, sampling_mode))
    return x


@op("resize", **_TO_SHAPE)
def resize(
    x: Array, shape: Ints, resized_dims: int, interpolation_mode: str = "LINEAR", sampling_mode: str = "DEFAULT"
) -> Array:
    """The last ``resized_dims`` dimensions as in ``shape``; 0 keeps one."""
    for back, count in enumerate(ints(shape)[::-1][: int(resized_dims)]):
        axis = x.ndim - 1 - back
        wanted = count or x.shape[axis]
        if interpolation_mode == "LINEAR":
            x = _linear(x, axis, grid(x.shape[axis], wanted, sampling_mode))
        elif sampling_mode == "DEFAULT":
            x = _nearest(x, axis, wanted)
        else:
            raise NotImplementedError(f"how {sampling_mode} picks the nearest pixel is not documented")
    return x


def _fold(positions: Array, first: float, last: float) -> Array:
    """Positions reflected at both ends until they lie between them."""
    span = last - first
    if span <= 0:
        return np.zeros_like(positions)
    rest = np.mod(positions - first, 2 * span)
    return np.asarray(first + np.where(rest > span, 2 * span - rest, rest))


def _pixels(image: Array, rows: Array, columns: Array, fill: float) -> Array:
    """image (C, H, W) at whole positions; outside, ``fill``."""
    h, w = image.shape[-2:]
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    found = image[:, np.clip(rows, 0, h - 1), np.clip(columns, 0, w - 1)]
    return np.where(inside, found, np.float32(fill))


def _sample(image: Array, rows: Array, columns: Array, mode: str, fill: float) -> Array:
    """image (C, H, W) at fractional positions: bilinear or nearest, half to even."""
    if mode == "nearest":
        return _pixels(image, np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64), fill)
    if mode != "bilinear":
        raise ValueError(f"unknown sampling_mode {mode!r}; known are bilinear and nearest")
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    total = _pixels(image, top, left, fill) * ((1 - down) * (1 - right))
    total = total + _pixels(image, top, left + 1, fill) * ((1 - down) * right)
    total = total + _pixels(image, top + 1, left, fill) * (down * (1 - right))
    return np.asarray(total + _pixels(image, top + 1, left + 1, fill) * (down * right))


def _unnormalise(positions: Array, size: int, coordinates_mode: str, align_corners: bool) -> Array:
    """Coordinates as pixels; the ends of the range are the corner pixels' centres, or their outer edges."""
    if coordinates_mode == "unnormalized":
        return positions
    if coordinates_mode == "normalized_minus_one_to_one":
        positions = (positions + 1) / 2
    elif coordinates_mode != "normalized_zero_to_one":
        raise ValueError(f"unknown coordinates_mode {coordinates_mode!r}")
    return positions * (size - 1) if align_corners else positions * size - 0.5


@op("resample", makes=lambda x, coordinates, **_: coordinates.size // 2 * x.shape[1])
def resample(
    x: Array,
    coordinates: Array,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Array:
    """x (B, C, H, W) at the points ``coordinates`` (B, H2, W2, 2), which hold (column, row)."""
    axes = []
    for last, size in ((1, x.shape[2]), (0, x.shape[3])):
        positions = _unnormalise(coordinates[..., last].astype(np.float64), size, coordinates_mode, align_corners)
        if padding_mode == "border":
            positions = np.clip(positions, 0, size - 1)
        elif padding_mode == "reflection":
            positions = _fold(positions, 0, size - 1)
        elif padding_mode == "symmetric":
            positions = np.clip(_fold(positions, -0.5, size - 0.5), 0, size - 1)
        elif padding_mode != "constant":
            raise ValueError(f"unknown padding_mode {padding_mode!r}")
        axes.append(positions)
    return np.stack(
        [_sample(i, r, c, sampling_mode, padding_value) for i, r, c in zip(x, axes[0], axes[1], strict=True)]
    )


@op(
    "affine",
    makes=lambda x, output_height, output_width, **_: product(x.shape[:2]) * int(output_height) * int(output_width),
    needs=lambda output_height, output_width, **_: 8 * int(output_height) * int(output_width),
    reads="output_height output_width",
)
def affine(
    x: Array,
    transform_matrix: Array,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Array:
    """x (B, C, H, W) at (a0 x + a1 y + a2, b0 x + b1 y + b2) for each output point (x, y) of [−1, 1]²."""
    if padding_mode != "constant" or coordinates_mode != "normalized_minus_one_to_one" or not align_corners:
        raise NotImplementedError(
            f"got {padding_mode}, {coordinates_mode}, align_corners={align_corners}; "
            "there are only constant, normalized_minus_one_to_one, True"
        )
    rows, columns = np.meshgrid(np.linspace(-1, 1, output_height), np.linspace(-1, 1, output_width), indexing="ij")
    points = np.stack([columns, rows, np.ones_like(rows)])
    out = []
    for image, matrix in zip(x, np.broadcast_to(transform_matrix, (len(x), 6)), strict=True):
        across, down = np.einsum("ij,jhw->ihw", matrix.reshape(2, 3).astype(np.float64), points)
        positions = [
            _unnormalise(p, s, coordinates_mode, True) for p, s in zip((down, across), x.shape[2:], strict=True)
        ]
        out.append(_sample(image, positions[0], positions[1], sampling_mode, padding_value))
    return np.stack(out)


def _crops(
    x: Array,
    roi: Array | None = None,
    boxes: Array | None = None,
    target_height: int = 1,
    target_width: int = 1,
    **_: Any,
) -> int:
    images = len(boxes) if boxes is not None else len(x) * len(roi) if roi is not None else 0
    return product((images, x.shape[1], target_height, target_width))


@op("crop_resize", makes=_crops, reads="target_height target_width")
def crop_resize(
    x: Array,
    roi: Array | None = None,
    boxes: Array | None = None,
    box_indices: Ints | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Array:
    """Boxes of images (B, C, H, W), resized: ``boxes`` (N, 4) -> (N, C, h, w) since iOS 17, before that ``roi``.

    Each box of a ``roi`` (N, 1, 4, 1, 1) is cut from all images, of (N, 1, 5, 1, 1) from the one it names first.
    """
    if box_coordinate_mode not in {"CORNERS_HEIGHT_FIRST", "CORNERS_WIDTH_FIRST"}:
        raise NotImplementedError(f"the ends of a box in {box_coordinate_mode} are not documented")
    flat = np.asarray(boxes if roi is None else roi.reshape(len(roi), -1), np.float64)
    images: list[tuple[int, ...]]
    if roi is None:
        images = [(i,) for i in (range(len(flat)) if box_indices is None else ints(box_indices))]
    elif flat.shape[1] == 5:
        images = [(int(i),) for i in flat[:, 0]]
    else:
        images = [tuple(range(len(x)))] * len(flat)
    flat = flat[:, -4:] * spatial_scale
    if box_coordinate_mode == "CORNERS_WIDTH_FIRST":
        flat = flat[:, [1, 0, 3, 2]]
    if normalized_coordinates:
        flat = flat * np.array([x.shape[2] - 1, x.shape[3] - 1] * 2)
    out = []
    for (top, left, bottom, right), chosen in zip(flat.tolist(), images, strict=True):
        rows = top + np.copysign(grid(abs(bottom - top) + 1, target_height, sampling_mode), bottom - top)
        columns = left + np.copysign(grid(abs(right - left) + 1, target_width, sampling_mode), right - left)
        down, across = np.meshgrid(rows, columns, indexing="ij")
        beyond = (down < 0) | (down > x.shape[2] - 1) | (across < 0) | (across > x.shape[3] - 1)
        cut = [np.where(beyond, np.float32(pad_value), _sample(x[i], down, across, "bilinear", 0.0)) for i in chosen]
        out.append(np.stack(cut))
    stacked = np.stack(out)
    return stacked[:, 0] if roi is None else stacked
