"""Pooling, as a pass puts it together."""

from __future__ import annotations

from math import prod

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.registry import Context, lowers

_SUMS = {2: dialect.sumpool2d, 3: dialect.sumpool3d}
_MAXIMA = {2: dialect.maxpool2d, 3: dialect.maxpool3d}


@lowers("Pool")
def pool(ctx: Context, x: Value) -> Value:
    kind, window, steps = ctx.args[0], list(ctx.args[1]), list(ctx.args[2])
    last = b.rank(x) - 1
    x = b.transpose(x, [0, last, *range(1, last)])
    flat = len(window) == 1
    if flat:
        x, window, steps = b.reshape(x, (*b.shape_of(x), 1)), [*window, 1], [*steps, 1]
    sizes, strides, dilation = (b.sizes(numbers) for numbers in (window, steps, [1] * len(window)))
    if kind == "max":
        made = [(side - k) // s + 1 for side, k, s in zip(b.shape_of(x)[2:], window, steps, strict=True)]
        out = b.tensor_type([*b.shape_of(x)[:2], *made], b.dtype_of(x))
        y = _MAXIMA[len(window)](out, x, sizes, strides, dilation, b.const(False))
    else:
        y = _SUMS[len(window)](x, sizes, strides, dilation)
    if kind == "mean":
        y = b.mul(y, 1 / prod(window))
    if flat:
        y = b.reshape(y, b.shape_of(y)[:-1])
    return b.transpose(y, [0, *range(2, last + 1), 1])
