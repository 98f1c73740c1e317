"""Convolutions, plain and transposed: MLX keeps channels last, MIL in front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var

from converters.coreml.ops.registry import LoweringContext, lowers, operand
from converters.graph import Array

Weight: TypeAlias = Var | Array


@lowers(
    "Convolution",
    emits={
        "one": ["conv"],
        "depthwise": ["conv"],
        "three": ["conv"],
        "dilated": ["pad"],
        "transposed": ["conv_transpose"],
        "transposed_groups": ["conv_transpose"],
        "transposed_plain": ["conv"],
        "both_strides": ["conv_transpose"],
    },
    raw=True,
    note="zeros between the inputs (input dilation) make it MIL's conv_transpose",
)
def convolution(ctx: LoweringContext, x: Var | Array, w: Weight) -> Var:
    stride, low, high, kernel_dilation, input_dilation, groups, flip = ctx.args
    x = mb.transpose(x=operand(x, np.float32), perm=_channels_first(len(w.shape)))
    run = _transposed if any(d > 1 for d in input_dilation) else _plain
    y = run(x, w, stride, low, high, kernel_dilation, input_dilation, groups, flip)
    return mb.transpose(x=y, perm=_channels_last(len(w.shape)), name=ctx.name)


def _channels_first(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


def _channels_last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def _plain(x: Var, w: Weight, stride: Any, low: Any, high: Any, dilation: Any, _: Any, groups: int, flip: bool) -> Var:
    weight = _moved(w, _channels_first(len(w.shape)))
    if isinstance(weight, Var):
        weight, dilation = _dilated(weight, dilation), [1] * len(dilation)
    return mb.conv(
        x=_resized(x, [min(n, 0) for n in low], [min(n, 0) for n in high]),
        weight=_flipped(weight) if flip else weight,
        strides=list(stride),
        pad_type="custom",
        pad=[max(n, 0) for n in chain(*zip(low, high, strict=True))],
        dilations=list(dilation),
        groups=groups,
    )


def _transposed(
    x: Var, w: Weight, stride: Any, low: Any, high: Any, dilation: Any, spread: Any, groups: int, flip: bool
) -> Var:
    """Conv_transpose, whose padding is what it takes off: d (K − 1) less the padding that MLX puts on."""
    kernel = w.shape[1:-1]
    off = [(d * (k - 1) - a, d * (k - 1) - b) for d, k, a, b in zip(dilation, kernel, low, high, strict=True)]
    # Taken off evenly on both sides, as every Core ML runs it; the rest is sliced off or, where negative, added.
    even = [max(min(sides), 0) for sides in off]
    weight = _by_input(w, groups)
    y = mb.conv_transpose(
        x=x,
        weight=weight if flip else _flipped(weight),
        strides=list(spread),
        pad_type="custom",
        pad=[n for n in even for _ in range(2)],
        dilations=list(dilation),
        groups=groups,
    )
    y = _resized(
        y, [n - a for n, (a, _) in zip(even, off, strict=True)], [n - b for n, (_, b) in zip(even, off, strict=True)]
    )
    if all(s == 1 for s in stride):
        return y
    return mb.slice_by_index(x=y, begin=[0] * y.rank, end=list(y.shape), stride=[1, 1, *stride])


def _by_input(w: Weight, groups: int) -> Weight:
    """(G · O, *K, I) as MIL's transposed convolution has it: (G · I, O, *K)."""
    out, *kernel, inner = w.shape
    split = (groups, out // groups, *kernel, inner)
    order = [0, len(split) - 1, *range(1, len(split) - 1)]
    merged = (groups * inner, out // groups, *kernel)
    if isinstance(w, np.ndarray):
        return np.ascontiguousarray(w.astype(np.float32).reshape(split).transpose(order).reshape(merged))
    if groups == 1:
        return mb.transpose(x=w, perm=[n - 1 for n in order[1:]])
    # The kernel's axes in one, to stay within rank 5.
    flat = mb.reshape(x=w, shape=[groups, out // groups, -1, inner])
    return mb.reshape(x=mb.transpose(x=flat, perm=[0, 3, 1, 2]), shape=list(merged))


def _moved(w: Weight, order: Sequence[int]) -> Weight:
    if isinstance(w, np.ndarray):
        return np.ascontiguousarray(w.astype(np.float32).transpose(order))
    return mb.transpose(x=w, perm=list(order))


def _dilated(weight: Var, dilation: Sequence[int]) -> Var:
    """(O, I, *K) with zeros between its numbers: MIL dilates no kernel that is computed."""
    shape = list(weight.shape)
    for axis, step in enumerate(dilation, 2):
        if step == 1 or shape[axis] == 1:
            continue
        before, after, count = math.prod(shape[:axis]), math.prod(shape[axis + 1 :]), shape[axis]
        spread = mb.reshape(x=weight, shape=[before, count, 1, after])
        spread = mb.pad(x=spread, pad=[0, 0, 0, 0, 0, step - 1, 0, 0], mode="constant", constant_val=0.0)
        spread = mb.reshape(x=spread, shape=[before, count * step, after])
        shape[axis] = (count - 1) * step + 1
        spread = mb.slice_by_index(x=spread, begin=[0, 0, 0], end=[before, shape[axis], after])
        weight = mb.reshape(x=spread, shape=shape)
    return weight


def _flipped(weight: Weight) -> Weight:
    axes = tuple(range(2, len(weight.shape)))
    if isinstance(weight, np.ndarray):
        return np.ascontiguousarray(np.flip(weight, axes))
    return mb.reverse(x=weight, axes=list(axes))


def _resized(x: Var, low: Sequence[int], high: Sequence[int]) -> Var:
    """x (N, C, *D) with zeros put on at both ends, or numbers taken off where negative."""
    if any(n < 0 for n in (*low, *high)):
        begin = [0, 0, *(max(-n, 0) for n in low)]
        end = [*x.shape[:2], *(size - max(-n, 0) for size, n in zip(x.shape[2:], high, strict=True))]
        x = mb.slice_by_index(x=x, begin=begin, end=end)
    pads = [0, 0, 0, 0, *(max(n, 0) for n in chain(*zip(low, high, strict=True)))]
    return mb.pad(x=x, pad=pads, mode="constant", constant_val=0.0) if any(pads) else x
