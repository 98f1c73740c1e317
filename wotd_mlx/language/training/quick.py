"""SwiGLU and cross-entropy as a training on a CPU computes them: additions and multiplications in a vector loop.

MLX's CPU kernels call the scalar ``exp`` for both, 12 to 20 ns a number: a quarter of a training step of SmolLM2. The
forms here need ``mx.compile`` around them: what is differentiated isn't fused otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import activations

from wotd_mlx.activations import TRAINED
from wotd_mlx.embed.forms import exp_below


@contextmanager
def quick_swiglu(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, the architecture's own file in mlx-lm computes silu(gate) · x within 1e-6, and MLX's way afterwards.

    An architecture that has another gate, such as Gemma's GELU, stays as it is.
    """
    architecture: Any = sys.modules[type(model).__module__]
    if not wanted or getattr(architecture, "swiglu", None) is not activations.swiglu:
        yield
        return
    try:
        architecture.swiglu = lambda gate, x: TRAINED.silu(gate) * x
        yield
    finally:
        architecture.swiglu = activations.swiglu


def _shares(logits: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """exp(logit - top) (A, V), their sum (A, 1) and the top (A, 1)."""
    top = logits.max(axis=-1, keepdims=True)
    shares = exp_below(logits, top, mx.array(1.0))
    return shares, shares.sum(axis=-1, keepdims=True), top


def _cross_entropy(logits: mx.array, targets: mx.array) -> mx.array:
    _, total, top = _shares(logits)
    return (mx.log(total) + top - mx.take_along_axis(logits, targets[:, None], axis=-1))[:, 0]


def _slope(primals: Any, dy: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
    """d/dlogits = (softmax - one-hot of the target) dy."""
    logits, targets = primals
    shares, total, _ = _shares(logits)
    slope = shares / total * dy[:, None]
    at = targets[:, None]
    slope = mx.put_along_axis(slope, at, mx.take_along_axis(slope, at, axis=-1) - dy[:, None], axis=-1)
    return slope, mx.zeros_like(targets)


cross_entropy: Any = mx.custom_function(_cross_entropy)
"""logits (A, V) float32, targets (A,) int -> −log softmax at the targets (A,), within 1e-5."""
cross_entropy.vjp(_slope)
