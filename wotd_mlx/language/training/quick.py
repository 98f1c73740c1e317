"""SwiGLU and cross-entropy as a training on a CPU computes them: additions and multiplications in a vector loop.

MLX's CPU kernels call the scalar ``exp`` for both, 12 to 20 ns a number: a quarter of a training step of SmolLM2. The
forms here need ``mx.compile`` around them: what is differentiated isn't fused otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from inspect import getmembers, isfunction
from types import FunctionType
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.models import activations

from wotd_mlx.activations import TRAINED
from wotd_mlx.embed.forms import exp_below
from wotd_mlx.language.training.recast import recast


@contextmanager
def quick_swiglu(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Inside, the model computes mlx-lm's silu(gate) · x within 1e-6, and MLX's way afterwards; no other model does.

    An architecture that has another gate, such as Gemma's GELU, stays as it is.
    """
    modules = model.modules() if wanted else ()
    with recast([module for module in modules if any(map(_calls_swiglu, type(module).__mro__))], _quick):
        yield


@cache
def _calls_swiglu(kind: Any) -> dict[str, Any]:
    """The methods of a class that call mlx-lm's ``swiglu``."""
    return {
        name: method
        for name, method in getmembers(kind, isfunction)
        if "swiglu" in method.__code__.co_names and method.__globals__.get("swiglu") is activations.swiglu
    }


@cache
def _quick(kind: Any) -> Any:
    """A subclass whose methods call the quick form, under the same name."""

    def rewired(method: FunctionType) -> FunctionType:
        names = {**method.__globals__, "swiglu": lambda gate, x: TRAINED.silu(gate) * x}
        own = FunctionType(method.__code__, names, method.__name__, method.__defaults__, method.__closure__)
        own.__kwdefaults__ = method.__kwdefaults__
        return own

    return type(kind.__name__, (kind,), {name: rewired(method) for name, method in _calls_swiglu(kind).items()})


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
