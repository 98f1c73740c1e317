"""What the passes put together again, as the operations that Core ML runs fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from converters.coreml.ops.linear import dense
from converters.coreml.ops.registry import LoweringContext, lowers
from converters.graph import Array


@lowers("LayerNorm", emits={"weights": ["layer_norm"], "plain": ["layer_norm"], "two_axes": ["layer_norm"]}, raw=True)
def layer_norm(ctx: LoweringContext, x: Var, weight: Array | None = None, bias: Array | None = None) -> Var:
    axes, eps = ctx.args
    return mb.layer_norm(x=x, axes=list(axes), gamma=weight, beta=bias, epsilon=eps, name=ctx.name)


@lowers(
    "RMSNorm",
    emits={"weights": ["rsqrt"]},
    raw=True,
    note="MIL has no RMS norm: square, mean, rsqrt, scale; in half precision of x by its largest number",
)
def rms_norm(ctx: LoweringContext, x: Var, weight: Array | None = None) -> Var:
    axes, eps = ctx.args
    x, size = _brought_in(ctx, x, axes)
    mean = mb.reduce_mean(x=mb.mul(x=x, y=x), axes=list(axes), keep_dims=True)
    if size is None:
        root = mb.rsqrt(x=mean, epsilon=eps)
    else:
        share = mb.real_div(x=1.0, y=size)
        root = mb.rsqrt(x=mb.add(x=mean, y=mb.mul(x=mb.mul(x=share, y=eps), y=share)), epsilon=0.0)
    if weight is None:
        return mb.mul(x=x, y=root, name=ctx.name)
    return mb.mul(x=mb.mul(x=x, y=root), y=weight, name=ctx.name)


def _brought_in(ctx: LoweringContext, x: Var, axes: Sequence[int]) -> tuple[Var, Var | None]:
    """In half precision x divided by its largest number along ``axes``, where that is above 1, and the divisor; else x
    as it is."""
    if not ctx.half:
        return x, None
    # An infinite one would make NaN of its neighbours too.
    size = mb.clip(x=mb.reduce_max(x=mb.abs(x=x), axes=list(axes), keep_dims=True), alpha=1.0, beta=65504.0)
    return mb.real_div(x=x, y=size), size


@lowers("Length", emits={"rows": ["reduce_l2_norm"]})
def length(ctx: LoweringContext, x: Var) -> Var:
    x, size = _brought_in(ctx, x, ctx.args[0])
    if size is None:
        return mb.reduce_l2_norm(x=x, axes=list(ctx.args[0]), keep_dims=True, name=ctx.name)
    return mb.mul(x=mb.reduce_l2_norm(x=x, axes=list(ctx.args[0]), keep_dims=True), y=size, name=ctx.name)


@lowers("GELU", emits={"exact": ["gelu"], "tanh": ["gelu"], "sigmoid": ["gelu"]})
def gelu(ctx: LoweringContext, x: Var) -> Var:
    return mb.gelu(x=x, mode=ctx.args[0], name=ctx.name)


@lowers("SiLU", emits={"floats": ["silu"]})
def silu(ctx: LoweringContext, x: Var) -> Var:
    return mb.silu(x=x, name=ctx.name)


@lowers("ReLU", emits={"floats": ["relu"]})
def relu(ctx: LoweringContext, x: Var) -> Var:
    return mb.relu(x=x, name=ctx.name)


@lowers(
    "Linear",
    emits={"bias": ["linear"], "plain": ["linear"], "rank_4": ["linear", "reshape"], "rank_5": ["linear", "reshape"]},
    raw=True,
)
def linear(ctx: LoweringContext, x: Var | Array, w: Array, b: Array | None = None) -> Var:
    weight = np.ascontiguousarray(w.T.astype(np.float32))
    bias = None if b is None else b.astype(np.float32)
    return dense(x, weight, ctx.name, bias)


def _may_hide_all(mask: Var | None) -> bool:
    """Whether a row of a boolean mask may have no key: MLX takes the mean then, and Core ML's own operation NaN."""
    if mask is None or mask.dtype != types.bool:
        return False
    return mask.val is None or not bool(np.asarray(mask.val).any(axis=-1).all())


@lowers(
    "Attention",
    emits={"plain": ["softmax"]},
    note="one operation from iOS 18 on, unless a computed mask may hide all keys; else two products and a softmax",
)
def attention(ctx: LoweringContext, q: Var, k: Var, v: Var, mask: Var | None = None) -> Var:
    (scale,) = ctx.args
    if ctx.target >= ct.target.iOS18 and not _may_hide_all(mask):
        # Core ML's own scale is 1/√width.
        more = scale * math.sqrt(q.shape[-1])
        q = q if math.isclose(more, 1, rel_tol=1e-6) else mb.mul(x=q, y=more)
        return mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=mask, name=ctx.name)
    scores = mb.matmul(x=mb.mul(x=q, y=scale), y=k, transpose_y=True)
    if mask is not None and mask.dtype == types.bool:
        # The least that there is, as in MLX: a score may well be below −3·10⁴.
        scores = mb.select(cond=mask, a=scores, b=-65504.0 if ctx.half else float(np.finfo(np.float32).min))
    elif mask is not None:
        scores = mb.add(x=scores, y=mask)
    return mb.matmul(x=mb.softmax(x=scores, axis=-1), y=v, name=ctx.name)
