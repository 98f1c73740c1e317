"""Convolutions and pooling over the dimensions behind batch and channel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from converters.coreml.executor.ops.common import Array, ints, per_channel, product
from converters.coreml.executor.registry import Function, Ints, op

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
    span = _span(kernel, steps)
    view = sliding_window_view(x, span, axis=tuple(range(2, 2 + spatial)))
    index = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return view[index + tuple(slice(None, None, d) for d in steps)]


def _span(kernel: tuple[int, ...], dilations: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))


def _ones(given: Any, spatial: int) -> tuple[int, ...]:
    """Strides or dilations, 1 where there are none."""
    return (1,) * spatial if given is None else ints(given)


def _grown(sizes: tuple[int, ...], widths: Widths) -> list[int]:
    return [size + before + after for size, (before, after) in zip(sizes, widths, strict=True)]


def _conv_sizes(
    x: Array,
    weight: Array,
    strides: Any = None,
    pad_type: str = "valid",
    pad: Any = None,
    dilations: Any = None,
    **_: Any,
) -> tuple[list[int], list[int]]:
    """The dimensions behind the channel, padded, and those of the result."""
    kernel = weight.shape[2:]
    step, span = _ones(strides, len(kernel)), _span(kernel, _ones(dilations, len(kernel)))
    padded = _grown(x.shape[2:], _padding(pad_type, pad, x.shape[2:], span, step))
    return padded, [max(0, size - k) // s + 1 for size, k, s in zip(padded, span, step, strict=True)]


def _conv_makes(x: Array, weight: Array, **given: Any) -> int:
    _, positions = _conv_sizes(x, weight, **given)
    return product((x.shape[0], weight.shape[0], *positions))


def _conv_needs(x: Array, weight: Array, **given: Any) -> int:
    padded, positions = _conv_sizes(x, weight, **given)
    return product(x.shape[:2]) * max(product(padded), product((*positions, *weight.shape[2:])))


@op("conv", makes=_conv_makes, needs=_conv_needs, reads="strides pad dilations")
def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Ints | None = None,
    pad_type: str = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Array:
    """Cross-correlation: x (n, C, *D), weight (C_out, C / groups, *K) -> (n, C_out, *D_out)."""
    kernel = weight.shape[2:]
    spatial = len(kernel)
    step, dilation = _ones(strides, spatial), _ones(dilations, spatial)
    span = _span(kernel, dilation)
    padded = np.pad(x, [(0, 0), (0, 0), *_padding(pad_type, pad, x.shape[2:], span, step)])
    windows = _windows(padded, kernel, step, dilation)
    n, c = windows.shape[:2]
    size = windows.shape[2 : 2 + spatial]
    # (n, groups, positions, C / groups · kernel) @ (groups, C / groups · kernel, C_out / groups)
    columns = (
        windows.reshape(n, groups, c // groups, math.prod(size), -1)
        .swapaxes(2, 3)
        .reshape(n, groups, math.prod(size), -1)
    )
    filters = weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    y = np.matmul(columns, filters).swapaxes(2, 3).reshape(n, weight.shape[0], *size)
    return np.asarray(y if bias is None else y + per_channel(bias, y))


def _full(x: Array, weight: Array, strides: Any, dilations: Any) -> list[int]:
    """The dimensions that every position of the kernel reaches."""
    kernel = weight.shape[2:]
    step, span = _ones(strides, len(kernel)), _span(kernel, _ones(dilations, len(kernel)))
    return [(s - 1) * t + k for s, t, k in zip(x.shape[2:], step, span, strict=True)]


def _transpose_needs(
    x: Array, weight: Array, strides: Any = None, dilations: Any = None, groups: int = 1, **given: Any
) -> int:
    full = _full(x, weight, strides, dilations)
    if (wanted := given.get("output_shape")) is not None:
        full = [max(f, w) for f, w in zip(full, ints(wanted)[-len(full) :], strict=True)]
    padding = [abs(width) for width in ints(given["pad"])] if given.get("pad") is not None else [0]
    return product((x.shape[0], groups, weight.shape[1], *(f + 2 * max(padding) for f in full)))


@op("conv_transpose", needs=_transpose_needs, reads="strides dilations groups output_shape pad")
def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Ints | None = None,
    output_shape: Ints | None = None,
    pad_type: str = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Array:
    """The gradient of ``conv``: x (n, C, *D), weight (C, C_out / groups, *K) -> (n, C_out, *D_out)."""
    kernel = weight.shape[2:]
    spatial = len(kernel)
    step, dilation = _ones(strides, spatial), _ones(dilations, spatial)
    n, c, *size = x.shape
    per_group = weight.shape[1]
    full = _full(x, weight, strides, dilations)
    y = np.zeros((n, groups * per_group, *full), dtype=np.float32)
    rows = x.reshape(n, groups, c // groups, -1)
    for position in np.ndindex(*kernel):
        filters = weight[(slice(None), slice(None), *position)].reshape(groups, c // groups, per_group)
        part = np.matmul(filters.swapaxes(1, 2), rows).reshape(n, groups * per_group, *size)
        spots = (
            slice(p * d, p * d + (s - 1) * t + 1, t) for p, d, s, t in zip(position, dilation, size, step, strict=True)
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
    return np.asarray(y if bias is None else y + per_channel(bias, y))


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
    return kernel, _ones(strides, len(kernel))


def _over(kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(kernel), 0))


def _pool_needs(
    x: Array,
    kernel_sizes: Any,
    pad_type: str,
    strides: Any = None,
    pad: Any = None,
    ceil_mode: bool = False,
    **more: Any,
) -> int:
    kernel, step = _arguments(kernel_sizes, strides)
    _, widths = _pool_widths(x, kernel, step, pad_type, pad, ceil_mode)
    return product((*x.shape[:2], *(max(0, size) for size in _grown(x.shape[2:], widths))))


_POOL: dict[str, Any] = {"needs": _pool_needs, "reads": "kernel_sizes strides pad"}


def _reduced(padding: float, reduction: Callable[[Array, tuple[int, ...]], Array]) -> Function:
    """A pool: padding counts as ``padding``, each window is reduced over its axes."""

    def pool(
        x: Array,
        kernel_sizes: Ints,
        pad_type: str,
        strides: Ints | None = None,
        pad: Ints | None = None,
        ceil_mode: bool = False,
    ) -> Array:
        kernel, step = _arguments(kernel_sizes, strides)
        _, widths = _pool_widths(x, kernel, step, pad_type, pad, ceil_mode)
        padded = np.pad(x, [(0, 0), (0, 0), *widths], constant_values=padding)
        return np.asarray(reduction(_windows(padded, kernel, step), _over(kernel)))

    return pool


# The largest value of each window, and √Σ x².
op("max_pool", **_POOL)(_reduced(-np.inf, lambda windows, axes: np.max(windows, axis=axes)))
op("l2_pool", **_POOL)(_reduced(0, lambda windows, axes: np.sqrt(np.sum(np.square(windows), axis=axes))))


@op("avg_pool", **_POOL)
def avg_pool(
    x: Array,
    kernel_sizes: Ints,
    pad_type: str,
    strides: Ints | None = None,
    pad: Ints | None = None,
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
