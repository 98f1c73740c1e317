"""The op table: one decorated function lowers one primitive, with its reference in MLX and its test cases beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from coremltools.converters.mil.mil import Var

from converters.coreml.graph import Array, Node, Tensor

Reference = Callable[..., Any]
"""(node, \\*arrays) -> the array, or the arrays, that MLX makes of them."""
Lowering = Callable[..., Any]
"""(ctx, \\*operands) -> the MIL variable, or the variables, of the node's outputs."""
Maker = Callable[[np.random.Generator], Array]


class Case(NamedTuple):
    """One test of an op: a function, its inputs, and MIL ops that must (``emits``) be in the package.

    An input is a shape, drawn from a normal distribution, or a function of a random generator.
    """

    name: str
    fn: Callable[..., Any]
    inputs: Sequence[tuple[int, ...] | Maker]
    emits: Sequence[str] = ()

    def example(self, seed: int = 0) -> dict[str, mx.array]:
        """The inputs as arrays, named ``a``, ``b`` … in the order of the function's arguments."""
        rng = np.random.default_rng(seed)
        arrays = [i(rng) if callable(i) else rng.normal(size=i).astype(np.float32) for i in self.inputs]
        return {chr(ord("a") + n): mx.array(array) for n, array in enumerate(arrays)}

    def call(self, **arrays: mx.array) -> Any:
        """The function over its example."""
        return self.fn(*arrays.values())


@dataclass(frozen=True)
class Op:
    """One row of the table.

    ``reference`` evaluates the node in MLX itself: it folds constants, tells where a package departs from its source,
    and is checked against the function that was captured. ``raw`` lowerings get constants as NumPy arrays.
    """

    name: str
    reference: Reference
    lower: Lowering
    cases: tuple[Case, ...]
    family: str
    raw: bool
    note: str


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


def op(
    name: str, mlx: Reference, cases: Sequence[Case], raw: bool = False, note: str = ""
) -> Callable[[Lowering], Lowering]:
    """Register the decorated function as the lowering of primitive ``name``.

    Args:
        name: as ``mx.export_function`` tells it, or as a fusing pass makes it.
        mlx: what the node computes, in MLX: ``(node, *arrays)``.
        cases: at least one; each is converted, run and compared with MLX.
        raw: operands that are constants come as NumPy arrays.
        note: what a reader of the op table should know: limits, a departure.

    Raises:
        ValueError: the primitive has a lowering already, or there is no case.
    """

    def register(lower: Lowering) -> Lowering:
        if name in OPS:
            raise ValueError(f"{name} is lowered twice: by {OPS[name].lower.__qualname__} and {lower.__qualname__}")
        if not cases:
            raise ValueError(f"{name} has no case; an op without a test is no op")
        OPS[name] = Op(name, mlx, lower, tuple(cases), lower.__module__.rpartition(".")[2], raw, note)
        return lower

    return register


def plain(function: Callable[..., mx.array]) -> Reference:
    """The reference of a primitive without arguments: the MLX function of the arrays alone."""
    return lambda _, *arrays: function(*arrays)


def integers(*shape: int, low: int = -9, high: int = 10) -> Maker:
    """int32, low <= n < high."""
    return lambda rng: rng.integers(low, high, shape).astype(np.int32)


def booleans(*shape: int) -> Maker:
    """True or False, evenly."""
    return lambda rng: rng.integers(0, 2, shape).astype(np.bool_)


def uniform(*shape: int, low: float = 0.1, high: float = 2.0) -> Maker:
    """float32, low <= x < high."""
    return lambda rng: rng.uniform(low, high, shape).astype(np.float32)


def given(*values: Any) -> Maker:
    """These very values."""
    return lambda _: np.array(
        values, np.float32 if any(isinstance(v, float) for v in np.ravel(values).tolist()) else np.int32
    )


def operand(x: Var | Array, dtype: Any = None) -> Any:
    """A constant or a variable as what a MIL builder takes."""
    return x if isinstance(x, Var) else np.asarray(x, dtype)
