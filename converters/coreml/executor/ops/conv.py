"""Convolutions and pooling over the dimensions behind batch and channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from converters.coreml.executor.ops.common import Array, ints, per_channel
from converters.coreml.executor.registry import op

Widths = list[tuple[int, int]]


def _padding(
    pad_type: str, pad: Any, sizes: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]
) -> Widths:
    """(before, after) for each dimension; an odd number puts one more after for ``same``, before for ``same_lower``."""
    if pad_type == "valid":
        return [(0, 0)] * len(sizes)
    if pad_type == "custom":
        flat = ints(pad)
        return list(zip(flat[::2], flat[1::2], strict=True))
    if pad_type not in {"same", "same_lower"}:
        raise ValueError(f"unknown pad_type {pad_type!r}; known are valid, custom, same and same_lower")
    widths: Widths = []
    for size, k, s in zip(sizes, kernel, strides, strict=True):
        total = max(0, (math.ceil(size / s) - 1) * s + k - size)
        less, more = total // 2, total - total // 2
        widths.append((less, more) if pad_type == "same" else (more, less))
    return widths


def _windows(
    x: Array, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...] | None = None
) -> Array:
    """(n, C, *D) -> (n, C, *D_out, *K)."""
    spatial = len(kernel)
    steps = dilations or (1,) * spatial
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, steps, strict=True))
    view = sliding_window_view(x, span, axis=tuple(range(2, 2 + spatial)))
    index = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return view[index + tuple(slice(None, None, d) for d in steps)]


@op("conv")
def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Array:
    """Cross-correlation: x (n, C, *D), weight (C_out, C / groups, *K) -> (n, C_out, *D_out)."""
    kernel = weight.shape[2:]
    spatial = len(kernel)
    step = (1,) * spatial if strides is None else ints(strides)
    dilation = (1,) * spatial if dilations is None else ints(dilations)
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    padded = np.pad(x, [(0, 0), (0, 0), *_padding(pad_type, pad, x.shape[2:], span, step)])
    windows = _windows(padded, kernel, step, dilation)
    n, c = windows.shape[:2]
    size = windows.shape[2 : 2 + spatial]
    # (n, groups, places, C / groups · kernel) @ (groups, C / groups · kernel, C_out / groups)
    columns = (
        windows.reshape(n, groups, c // groups, math.prod(size), -1)
        .swapaxes(2, 3)
        .reshape(n, groups, math.prod(size), -1)
    )
    filters = weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    y = np.matmul(columns, filters).swapaxes(2, 3).reshape(n, weight.shape[0], *size)
    return np.asarray(y if bias is None else y + per_channel(bias, y.ndim))


@op("conv_transpose")
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Any = None,
    output_shape: Any = None,
    pad_type: str = "valid",
    strides: Any = None,
    dilations: Any = None,
    groups: int = 1,
) -> Array:
    """The gradient of ``conv``: x (n, C, *D), weight (C, C_out / groups, *K) -> (n, C_out, *D_out)."""
    kernel = weight.shape[2:]
    spatial = len(kernel)
    step = (1,) * spatial if strides is None else ints(strides)
    dilation = (1,) * spatial if dilations is None else ints(dilations)
    n, c, *size = x.shape
    per_group = weight.shape[1]
    full = [(s - 1) * t + (k - 1) * d + 1 for s, t, k, d in zip(size, step, kernel, dilation, strict=True)]
    y = np.zeros((n, groups * per_group, *full), dtype=np.float32)
    rows = x.reshape(n, groups, c // groups, -1)
    for place in np.ndindex(*kernel):
        filters = weight[(slice(None), slice(None), *place)].reshape(groups, c // groups, per_group)
        part = np.matmul(filters.swapaxes(1, 2), rows).reshape(n, groups * per_group, *size)
        spots = (
            slice(p * d, p * d + (s - 1) * t + 1, t) for p, d, s, t in zip(place, dilation, size, step, strict=True)
        )
        y[(slice(None), slice(None), *spots)] += part
    if pad_type == "same":
        surplus = [f - s * t for f, s, t in zip(full, size, step, strict=True)]
        widths = [(e // 2, e - e // 2) for e in surplus]
    else:
        widths = _padding(pad_type, pad, tuple(size), kernel, step)
    wanted = [f - a - b for f, (a, b) in zip(full, widths, strict=True)]
    if output_shape is not None:
        wanted = list(ints(output_shape)[-spatial:])
    for axis, ((before, _), length) in enumerate(zip(widths, wanted, strict=True), start=2):
        # Where more is wanted than the kernel reaches, only the bias is there.
        missing = max(0, before + length - y.shape[axis])
        grown = [(0, 0)] * y.ndim
        grown[axis] = (max(0, -before), missing)
        y = np.pad(y, grown)
        start = max(0, before)
        y = y[(slice(None),) * axis + (slice(start, start + length),)]
    return np.asarray(y if bias is None else y + per_channel(bias, y.ndim))


def _pool_widths(
    x: Array, kernel: tuple[int, ...], strides: tuple[int, ...], pad_type: str, pad: Any, ceil_mode: bool
) -> tuple[Widths, Widths]:
    """The padding asked for, and with what ``ceil_mode`` adds after the end."""
    widths = _padding(pad_type, pad, x.shape[2:], kernel, strides)
    if not ceil_mode:
        return widths, widths
    grown: Widths = []
    for size, k, s, (before, after) in zip(x.shape[2:], kernel, strides, widths, strict=True):
        count = -(-(size + before + after - k) // s) + 1
        if (count - 1) * s >= size + before and before + after > 0:
            count -= 1
        grown.append((before, max(after, (count - 1) * s + k - size - before)))
    return widths, grown


def _arguments(kernel_sizes: Any, strides: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    kernel = ints(kernel_sizes)
    return kernel, (1,) * len(kernel) if strides is None else ints(strides)


def _over(kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(kernel), 0))


@op("max_pool")
def max_pool(
    x: Array, kernel_sizes: Any, pad_type: str, strides: Any = None, pad: Any = None, ceil_mode: bool = False
) -> Array:
    """The largest value of each window; padding counts as −∞."""
    kernel, step = _arguments(kernel_sizes, strides)
    _, widths = _pool_widths(x, kernel, step, pad_type, pad, ceil_mode)
    padded = np.pad(x, [(0, 0), (0, 0), *widths], constant_values=-np.inf)
    return np.asarray(_windows(padded, kernel, step).max(axis=_over(kernel)))


@op("avg_pool")
def avg_pool(
    x: Array,
    kernel_sizes: Any,
    pad_type: str,
    strides: Any = None,
    pad: Any = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Array:
    """The mean of each window; padding counts as zeros or, if excluded, not at all.

    What ``ceil_mode`` adds never counts.
    """
    kernel, step = _arguments(kernel_sizes, strides)
    asked, widths = _pool_widths(x, kernel, step, pad_type, pad, ceil_mode)
    total = _windows(np.pad(x, [(0, 0), (0, 0), *widths]), kernel, step).sum(axis=_over(kernel))
    counted = np.ones((1, 1, *x.shape[2:]), dtype=np.float32)
    outside = widths
    if not exclude_padding_from_average:
        counted = np.pad(counted, [(0, 0), (0, 0), *asked], constant_values=1)
        outside = [(0, w[1] - a[1]) for w, a in zip(widths, asked, strict=True)]
    counted = np.pad(counted, [(0, 0), (0, 0), *outside])
    return np.asarray(total / _windows(counted, kernel, step).sum(axis=_over(kernel)))


@op("l2_pool")
def l2_pool(
    x: Array, kernel_sizes: Any, pad_type: str, strides: Any = None, pad: Any = None, ceil_mode: bool = False
) -> Array:
    """√Σ x² of each window."""
    kernel, step = _arguments(kernel_sizes, strides)
    _, widths = _pool_widths(x, kernel, step, pad_type, pad, ceil_mode)
    squares = np.pad(np.square(x), [(0, 0), (0, 0), *widths])
    return np.asarray(np.sqrt(_windows(squares, kernel, step).sum(axis=_over(kernel))))
