"""What the passes put together again, as the operations that Core ML runs fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import coremltools as ct
import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types
from mlx import nn

from converters.coreml.graph import Array, Node
from converters.coreml.ops.linear import dense
from converters.coreml.ops.registry import Case, LoweringContext, booleans, op

GELU = {"EXACT": nn.gelu, "TANH_APPROXIMATION": nn.gelu_approx, "SIGMOID_APPROXIMATION": nn.gelu_fast_approx}


def _layer_norm(node: Node, x: mx.array, weight: mx.array | None = None, bias: mx.array | None = None) -> mx.array:
    axes, eps = node.args
    centred = x - x.mean(axes, keepdims=True)
    y = centred * mx.rsqrt(centred.square().mean(axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _rms_norm(node: Node, x: mx.array, weight: mx.array | None = None) -> mx.array:
    axes, eps = node.args
    y = x * mx.rsqrt(x.square().mean(axes, keepdims=True) + eps)
    return y if weight is None else y * weight


@op(
    "LayerNorm",
    _layer_norm,
    [
        Case("weights", lambda x: mx.fast.layer_norm(x, mx.ones(4) * 2, mx.ones(4), 1e-5), [(2, 3, 4)], ["layer_norm"]),
        Case("plain", lambda x: mx.fast.layer_norm(x, None, None, 1e-5), [(2, 4)], ["layer_norm"]),
        Case("two_axes", lambda x: _layer_norm(Node("", (), (), ((1, 2), 1e-5)), x), [(2, 3, 4)], ["layer_norm"]),
    ],
    raw=True,
)
def layer_norm(ctx: LoweringContext, x: Var, weight: Array | None = None, bias: Array | None = None) -> Var:
    axes, eps = ctx.args
    return mb.layer_norm(x=x, axes=list(axes), gamma=weight, beta=bias, epsilon=eps, name=ctx.name)


@op(
    "RMSNorm",
    _rms_norm,
    [Case("weights", lambda x: mx.fast.rms_norm(x, mx.arange(4.0), 1e-5), [(2, 4)], ["rsqrt"])],
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


@op(
    "Length",
    lambda n, x: mx.linalg.norm(x, axis=list(n.args[0]), keepdims=True),
    [Case("rows", lambda x: x / mx.linalg.norm(x, axis=-1, keepdims=True), [(2, 4)], ["reduce_l2_norm"])],
)
def length(ctx: LoweringContext, x: Var) -> Var:
    x, size = _brought_in(ctx, x, ctx.args[0])
    if size is None:
        return mb.reduce_l2_norm(x=x, axes=list(ctx.args[0]), keep_dims=True, name=ctx.name)
    return mb.mul(x=mb.reduce_l2_norm(x=x, axes=list(ctx.args[0]), keep_dims=True), y=size, name=ctx.name)


@op(
    "GELU",
    lambda n, x: GELU[n.args[0]](x),
    [
        Case("exact", nn.gelu, [(2, 3)], ["gelu"]),
        Case("tanh", nn.gelu_approx, [(2, 3)], ["gelu"]),
        Case("sigmoid", nn.gelu_fast_approx, [(2, 3)], ["gelu"]),
    ],
)
def gelu(ctx: LoweringContext, x: Var) -> Var:
    return mb.gelu(x=x, mode=ctx.args[0], name=ctx.name)


@op("SiLU", lambda n, x: nn.silu(x), [Case("floats", nn.silu, [(2, 3)], ["silu"])])
def silu(ctx: LoweringContext, x: Var) -> Var:
    return mb.silu(x=x, name=ctx.name)


@op("ReLU", lambda n, x: nn.relu(x), [Case("floats", nn.relu, [(2, 3)], ["relu"])])
def relu(ctx: LoweringContext, x: Var) -> Var:
    return mb.relu(x=x, name=ctx.name)


@op(
    "Linear",
    lambda n, x, w, b=None: x @ w if b is None else mx.addmm(b, x, w),
    [
        Case("bias", lambda x: mx.addmm(mx.arange(3.0), x, mx.ones((4, 3))), [(2, 4)], ["linear"]),
        Case("plain", lambda x: x @ mx.arange(12.0).reshape(4, 3), [(2, 5, 4)], ["linear"]),
        Case("rank_4", lambda x: mx.addmm(mx.arange(3.0), x, mx.ones((4, 3))), [(2, 3, 5, 4)], ["linear", "reshape"]),
        Case("rank_5", lambda x: x @ mx.arange(12.0).reshape(4, 3), [(2, 1, 3, 5, 4)], ["linear", "reshape"]),
    ],
    raw=True,
)
def linear(ctx: LoweringContext, x: Var | Array, w: Array, b: Array | None = None) -> Var:
    weight = np.ascontiguousarray(w.T.astype(np.float32))
    bias = None if b is None else b.astype(np.float32)
    return dense(x, weight, ctx.name, bias)


def _attend(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5)


def _attention(node: Node, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None = None) -> mx.array:
    scores = (q * node.args[0]) @ k.swapaxes(-1, -2)
    if mask is not None:
        scores = mx.where(mask, scores, -mx.inf) if mask.dtype == mx.bool_ else scores + mask
    return mx.softmax(scores, axis=-1) @ v


def _may_hide_all(mask: Var | None) -> bool:
    """Whether a row of a boolean mask may have no key: MLX takes the mean then, and Core ML's own operation NaN."""
    if mask is None or mask.dtype != types.bool:
        return False
    return mask.val is None or not bool(np.asarray(mask.val).any(axis=-1).all())


@op(
    "Attention",
    _attention,
    [
        Case("plain", _attend, [(1, 2, 3, 4)] * 3, ["softmax"]),
        Case(
            "causal", lambda q: mx.fast.scaled_dot_product_attention(q, q, q, scale=0.5, mask="causal"), [(1, 2, 3, 4)]
        ),
        Case(
            "added_mask",
            lambda q, m: mx.fast.scaled_dot_product_attention(q, q, q, scale=0.5, mask=m),
            [(1, 2, 3, 4), (1, 1, 3, 3)],
        ),
        Case(
            "boolean_mask",
            lambda q, m: mx.fast.scaled_dot_product_attention(q, q, q, scale=0.5, mask=m | mx.eye(3).astype(mx.bool_)),
            [(1, 2, 3, 4), booleans(1, 1, 3, 3)],
        ),
    ],
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
