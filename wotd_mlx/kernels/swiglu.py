"""mlx-lm's SwiGLU as a training on a CPU computes it: additions and multiplications in a vector loop.

MLX's CPU kernels call the scalar ``exp`` for it, 12 to 20 ns a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from inspect import getmembers, isfunction
from types import FunctionType
from typing import Any

from mlx import nn
from mlx_lm.models import activations

from wotd_mlx.kernels.activations import silu
from wotd_mlx.kernels.choice import cpu_path
from wotd_mlx.kernels.recast import recast


@contextmanager
def fast_swiglu(model: nn.Module) -> Iterator[None]:
    """Inside, on the CPU's path, the model computes mlx-lm's silu(gate) · x within 1e-6; no other model does.

    An architecture that has another gate, such as Gemma's GELU, stays as it is.
    """
    modules = model.modules() if cpu_path() else ()
    with recast([module for module in modules if any(map(_calls_swiglu, type(module).__mro__))], _rewired):
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
def _rewired(kind: Any) -> Any:
    """A subclass whose methods call the fast form, under the same name."""

    def rewired(method: FunctionType) -> FunctionType:
        names = {**method.__globals__, "swiglu": lambda gate, x: silu(gate) * x}
        own = FunctionType(method.__code__, names, method.__name__, method.__defaults__, method.__closure__)
        own.__kwdefaults__ = method.__kwdefaults__
        return own

    return type(kind.__name__, (kind,), {name: rewired(method) for name, method in _calls_swiglu(kind).items()})
