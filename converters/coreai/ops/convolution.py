"""Convolutions, plain and transposed: MLX keeps channels last, Core AI in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers


@lowers("Convolution", note="zeros between the inputs (input dilation) make it a transposed one")
def convolution(ctx: Context, x: Value, w: Value) -> Value:
    stride, low, high, dilation, spread = (list(numbers) for numbers in ctx.args[:5])
    groups, flip = ctx.args[5:]
    last = b.rank(x) - 1
    x = b.transpose(x, [0, last, *range(1, last)])
    flat = last == 2
    if flat:  # (N, C, L) as (N, C, L, 1)
        x, w = b.reshape(x, (*b.shape_of(x), 1)), _with_axis(w)
        stride, low, high = [*stride, 1], [*low, 0], [*high, 0]
        dilation, spread = [*dilation, 1], [*spread, 1]
    run = _transposed if any(d > 1 for d in spread) else _plain
    y = run(x, w, stride, low, high, dilation, spread, groups, flip)
    if flat:
        y = b.reshape(y, b.shape_of(y)[:-1])
    return b.transpose(y, [0, *range(2, last + 1), 1])


def _with_axis(w: Value) -> Value:
    """(O, K, I) as (O, K, 1, I)."""
    out, kernel, inner = b.shape_of(w)
    return b.reshape(w, (out, kernel, 1, inner))


def _plain(
    x: Value, w: Value, stride: Any, low: Any, high: Any, dilation: Any, _: Any, groups: int, flip: bool
) -> Value:
    last = b.rank(w) - 1
    weight = b.transpose(w, [0, last, *range(1, last)])
    build = dialect.conv2d if last == 3 else dialect.conv3d
    return build(
        _resized(x, low, high),
        _flipped(weight) if flip else weight,
        b.sizes(stride),
        b.sizes(dilation),
        b.const(groups, np.uint32),
    )


def _transposed(
    x: Value, w: Value, stride: Any, low: Any, high: Any, dilation: Any, spread: Any, groups: int, flip: bool
) -> Value:
    """A transposed convolution makes d (K − 1) numbers more on each side than MLX's padding leaves: they go."""
    out, *kernel, inner = b.shape_of(w)
    last = b.rank(w) - 1
    # (G · O, *K, I) as (G · I, O, *K), its windows in one axis on the way.
    weight = b.transpose(b.reshape(w, (groups, out // groups, int(np.prod(kernel)), inner)), [0, 3, 1, 2])
    weight = b.reshape(weight, (groups * inner, out // groups, *kernel))
    zeros = b.sizes([0] * len(kernel))
    build = dialect.conv_transpose2d if last == 3 else dialect.conv_transpose3d
    y = build(
        x,
        weight if flip else _flipped(weight),
        b.sizes(spread),
        zeros,
        b.sizes(dilation),
        zeros,
        b.const(groups, np.uint32),
    )
    more = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    y = _resized(y, *([a - m for a, m in zip(side, more, strict=True)] for side in (low, high)))
    return b.part(y, [range(0, n, s) for n, s in zip(b.shape_of(y), [1, 1, *stride], strict=True)])


def _flipped(weight: Value) -> Value:
    return dialect.reverse(weight, b.places(range(2, b.rank(weight))))


def _resized(x: Value, low: Sequence[int], high: Sequence[int]) -> Value:
    """x (N, C, *D) with zeros put on at both ends, or numbers taken off where negative."""
    shape = b.shape_of(x)
    cut = zip(shape[2:], low, high, strict=True)
    x = b.part(x, [range(shape[0]), range(shape[1]), *(range(max(-a, 0), n - max(-z, 0)) for n, a, z in cut)])
    return b.pad(x, [0, 0, *(max(n, 0) for n in low)], [0, 0, *(max(n, 0) for n in high)])
