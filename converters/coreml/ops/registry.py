"""Core ML's lowerings: one decorated function for each primitive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Var

from converters.graph import Array, Node, Tensor
from converters.primitives import PRIMITIVES

Lowering = Callable[..., Any]
"""(ctx, \\*operands) -> the MIL variable, or the variables, of the node's outputs."""


@dataclass(frozen=True)
class Op:
    """How one primitive becomes MIL. ``raw`` lowerings get constants as NumPy arrays; ``emits`` names, by case, MIL
    operations that must be in a package of it."""

    lower: Lowering
    raw: bool
    note: str
    emits: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class LoweringContext:
    """Where an op is lowered: its node, the shapes and dtypes it reads, and the deployment target.

    Lowered values are of three types: float32, int32 (all integers of MLX) and bool.
    """

    node: Node
    sources: tuple[Tensor, ...]
    target: Any
    exceeds: tuple[bool, ...] = ()
    """Which of the sources may hold numbers beyond int32."""
    half: bool = False
    """Whether floats are computed in 16 bits, in which the square of 256 is too large."""

    @property
    def name(self) -> str:
        return self.node.out.name

    @property
    def out(self) -> Tensor:
        return self.node.out

    @property
    def args(self) -> tuple[Any, ...]:
        return self.node.args


OPS: dict[str, Op] = {}
"""Primitive → its lowering."""


def lowers(
    name: str, raw: bool = False, note: str = "", emits: Mapping[str, Sequence[str]] | None = None
) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the lowering of primitive ``name``.

    Args:
        raw: operands that are constants come as NumPy arrays.
        note: what a reader of the op table should know: limits, a departure.
        emits: case → MIL operations that its package must have.

    Raises:
        ValueError: there is no such primitive or case, or it has a lowering already.
    """

    def register(lower: Lowering) -> Lowering:
        if name not in PRIMITIVES:
            raise ValueError(f"{lower.__qualname__} lowers {name}, which is no primitive")
        if unknown := set(emits or ()) - {case.name for case in PRIMITIVES[name].cases}:
            raise ValueError(f"{name} has no case {', '.join(sorted(unknown))}")
        if name in OPS:
            raise ValueError(f"{name} is lowered twice: by {OPS[name].lower.__qualname__} and {lower.__qualname__}")
        OPS[name] = Op(lower, raw, note, emits or {})
        return lower

    return register


def operand(x: Var | Array, dtype: Any = None) -> Any:
    """A constant or a variable as what a MIL builder takes."""
    return x if isinstance(x, Var) else np.asarray(x, dtype)
