"""Core AI's lowerings: one decorated function for each primitive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph import Array, Node, Tensor
from converters.primitives import PRIMITIVES
from converters.ranges import Range

Lowering = Callable[..., Any]
"""(ctx, \\*operands) -> the value, or the values, of the node's outputs."""


@dataclass(frozen=True)
class Context:
    """Where a primitive is lowered: its node, what it reads, and the type in which its floats are computed.

    Operands are values of :meth:`dtype`: floats in ``real``, integers, booleans and complex numbers in MLX's own type.
    """

    node: Node
    sources: tuple[Tensor, ...]
    constants: tuple[Array | None, ...]
    """The operands that are constants, as arrays."""
    ranges: tuple[Range | None, ...]
    """What the operands of whole numbers may hold."""
    real: np.dtype[Any]
    stored: Callable[[Array, int], Any]
    """A weight as a value in ``real``: in fewer bits where the precision asks for it, in blocks along the axis that a
    product sums over."""

    @property
    def out(self) -> Tensor:
        return self.node.out

    @property
    def args(self) -> tuple[Any, ...]:
        return self.node.args

    @property
    def half(self) -> bool:
        """Whether floats are computed in 16 bits, in which the square of 256 is too large."""
        return self.real == np.float16

    def dtype(self, tensor: Tensor) -> np.dtype[Any]:
        """The type that a tensor has where this is lowered."""
        return self.real if tensor.is_float else np.dtype(tensor.dtype)


@dataclass(frozen=True)
class Op:
    """How one primitive becomes Core AI. ``packed`` lowerings get None for constants, which their context has."""

    lower: Lowering
    note: str
    packed: bool


OPS: dict[str, Op] = {}
"""Primitive → its lowering."""


def lowers(*names: str, note: str = "", packed: bool = False) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the lowering of primitives.

    Args:
        packed: constants are read from the context, since they are no tensors of a package.
        note: what a reader of the op table should know: limits, a departure.

    Raises:
        ValueError: there is no such primitive, or it has a lowering already.
    """

    def register(lower: Lowering) -> Lowering:
        for name in names:
            if name not in PRIMITIVES:
                raise ValueError(f"{lower.__qualname__} lowers {name}, which is no primitive")
            if name in OPS:
                raise ValueError(f"{name} is lowered twice: by {OPS[name].lower.__qualname__} and {lower.__qualname__}")
            OPS[name] = Op(lower, note, packed)
        return lower

    return register
