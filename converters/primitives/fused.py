"""What the passes put together again, as the operations that Core ML runs fast."""

from __future__ import annotations

import mlx.core as mx
from mlx import nn

from converters.graph import Node
from converters.primitives.registry import Case, booleans, primitive

SMALL = mx.array([[1e-4], [1e-3], [0.05], [10.0]])
"""From where a norm's eps decides to where it is nothing."""
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


primitive(
    "LayerNorm",
    _layer_norm,
    [
        Case("weights", lambda x: mx.fast.layer_norm(x, mx.ones(4) * 2, mx.ones(4), 1e-5), [(2, 3, 4)]),
        Case("plain", lambda x: mx.fast.layer_norm(x, None, None, 1e-5), [(2, 4)]),
        Case("small", lambda x: mx.fast.layer_norm(x * SMALL, None, None, 1e-5), [(4, 16)]),
        Case("two_axes", lambda x: _layer_norm(Node("", (), (), ((1, 2), 1e-5)), x), [(2, 3, 4)]),
    ],
)


primitive(
    "RMSNorm",
    _rms_norm,
    [
        Case("weights", lambda x: mx.fast.rms_norm(x, mx.arange(4.0), 1e-5), [(2, 4)]),
        Case("small", lambda x: mx.fast.rms_norm(x * SMALL, None, 1e-5), [(4, 16)]),
    ],
)


primitive(
    "Length",
    lambda n, x: mx.linalg.norm(x, axis=list(n.args[0]), keepdims=True),
    [Case("rows", lambda x: x / mx.linalg.norm(x, axis=-1, keepdims=True), [(2, 4)])],
)


primitive(
    "GELU",
    lambda n, x: GELU[n.args[0]](x),
    [
        Case("exact", nn.gelu, [(2, 3)]),
        Case("tanh", nn.gelu_approx, [(2, 3)]),
        Case("sigmoid", nn.gelu_fast_approx, [(2, 3)]),
    ],
)


primitive("SiLU", lambda n, x: nn.silu(x), [Case("floats", nn.silu, [(2, 3)])])


primitive("ReLU", lambda n, x: nn.relu(x), [Case("floats", nn.relu, [(2, 3)])])


primitive(
    "Linear",
    lambda n, x, w, b=None: x @ w if b is None else mx.addmm(b, x, w),
    [
        Case("bias", lambda x: mx.addmm(mx.arange(3.0), x, mx.ones((4, 3))), [(2, 4)]),
        Case("plain", lambda x: x @ mx.arange(12.0).reshape(4, 3), [(2, 5, 4)]),
        Case("vector", lambda x: x @ mx.arange(12.0).reshape(4, 3), [(4,)]),
        Case("rank_4", lambda x: mx.addmm(mx.arange(3.0), x, mx.ones((4, 3))), [(2, 3, 5, 4)]),
        Case("rank_5", lambda x: x @ mx.arange(12.0).reshape(4, 3), [(2, 1, 3, 5, 4)]),
    ],
)


def _attend(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5)


def _attention(node: Node, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None = None) -> mx.array:
    scores = (q * node.args[0]) @ k.swapaxes(-1, -2)
    if mask is not None:
        scores = mx.where(mask, scores, -mx.inf) if mask.dtype == mx.bool_ else scores + mask
    return mx.softmax(scores, axis=-1) @ v


primitive(
    "Attention",
    _attention,
    [
        Case("plain", _attend, [(1, 2, 3, 4)] * 3),
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
)
