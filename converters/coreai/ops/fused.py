"""What the passes put together, in the operations that Core AI has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value, dialect
from converters.coreai.ops.linear import dense
from converters.coreai.ops.registry import Context, lowers
from converters.half import HALF_MAX

LEAST = 2.0**-10
"""Below this a norm's eps, over its square, would leave float16."""


@lowers("LayerNorm", note="mean, variance, rsqrt, scale; in half precision of what its largest number divides")
def layer_norm(ctx: Context, x: Value, weight: Value | None = None, bias: Value | None = None) -> Value:
    axes, eps = ctx.args
    if ctx.half:  # of x / 2, since the difference of two large numbers may be too large
        x, eps = b.mul(x, 0.5), eps / 4
    y = _normed(ctx, b.sub(x, b.reduced("mean", x, axes)), axes, eps)
    y = y if weight is None else b.mul(y, weight)
    return y if bias is None else b.add(y, bias)


@lowers("RMSNorm", note="square, mean, rsqrt, scale; in half precision of x by its largest number")
def rms_norm(ctx: Context, x: Value, weight: Value | None = None) -> Value:
    y = _normed(ctx, x, *ctx.args)
    return y if weight is None else b.mul(y, weight)


def _normed(ctx: Context, x: Value, axes: Sequence[int], eps: float) -> Value:
    """x over the root of the mean of its squares and eps."""
    x, size = _brought_in(ctx, x, axes)
    mean = b.reduced("mean", b.mul(x, x), axes)
    if size is not None:
        # Not eps · (1 / size)²: Apple's compiler folds that wrongly where eps is subnormal in float16.
        root = b.divide(math.sqrt(eps), size)
        eps = b.mul(root, root)
    return b.mul(x, dialect.rsqrt(b.add(mean, eps)))


def _brought_in(ctx: Context, x: Value, axes: Sequence[int]) -> tuple[Value, Value | None]:
    """In half precision x divided by its largest number along ``axes``, and the divisor, which is no less than
    :data:`LEAST`; else x as it is. The squares of small numbers would be 0, those of large ones infinite."""
    if not ctx.half:
        return x, None
    # An infinite one would make NaN of its neighbours too.
    size = b.minimum(b.maximum(b.reduced("max", b.absolute(x), axes), LEAST), HALF_MAX)
    return b.divide(x, size), size


@lowers("Length")
def length(ctx: Context, x: Value) -> Value:
    (axes,) = ctx.args
    x, size = _brought_in(ctx, x, axes)
    root = dialect.sqrt(b.reduced("sum", b.mul(x, x), axes))
    return root if size is None else b.mul(root, size)


@lowers("GELU")
def gelu(ctx: Context, x: Value) -> Value:
    if ctx.args[0] == "SIGMOID_APPROXIMATION":
        return b.mul(x, dialect.sigmoid(b.mul(x, 1.702)))
    return dialect.gelu(x, approximate="none" if ctx.args[0] == "EXACT" else "tanh")


@lowers("SiLU")
def silu(ctx: Context, x: Value) -> Value:
    return dialect.silu(x)


@lowers("ReLU")
def relu(ctx: Context, x: Value) -> Value:
    return dialect.relu(x)


@lowers("Linear", packed=True, note="in half precision a convolution of one place, the Neural Engine's own form of it")
def linear(ctx: Context, x: Value, *_: None) -> Value:
    weight, *bias = (held for held in ctx.constants[1:] if held is not None)
    y = dense(ctx, x, weight)
    return b.add(y, bias[0]) if bias else y


@lowers("Attention", note="two products and a softmax")
def attention(ctx: Context, q: Value, k: Value, v: Value, mask: Value | None = None) -> Value:
    (scale,) = ctx.args
    order = [*range(b.rank(k) - 2), b.rank(k) - 1, b.rank(k) - 2]
    scores = b.matmul(b.mul(q, scale), b.transpose(k, order))
    if mask is not None and b.dtype_of(mask) == np.bool_:
        # The least that there is, as in MLX: a score may well be below −3·10⁴.
        scores = b.select(mask, scores, np.finfo(b.dtype_of(scores)).min)
    elif mask is not None:
        scores = b.add(scores, mask)
    return b.matmul(dialect.softmax(scores, b.const(-1, np.int32)), v)
