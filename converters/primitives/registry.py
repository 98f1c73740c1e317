"""The table of primitives: what each computes, in MLX, and cases that each lowering of it is tried on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from converters.graph import Array

Reference = Callable[..., Any]
"""(node, \\*arrays) -> the array, or the arrays, that MLX makes of them."""
Maker = Callable[[np.random.Generator], Array]


class Case(NamedTuple):
    """One test of a primitive: a function and its inputs.

    An input is a shape, drawn from a normal distribution, or a function of a random generator.
    """

    name: str
    fn: Callable[..., Any]
    inputs: Sequence[tuple[int, ...] | Maker]

    def example(self, seed: int = 0) -> dict[str, mx.array]:
        """The inputs as arrays, named ``a``, ``b`` … in the order of the function's arguments."""
        rng = np.random.default_rng(seed)
        arrays = [i(rng) if callable(i) else rng.normal(size=i).astype(np.float32) for i in self.inputs]
        return {chr(ord("a") + n): mx.array(array) for n, array in enumerate(arrays)}

    def call(self, **arrays: mx.array) -> Any:
        """The function over its example."""
        return self.fn(*arrays.values())


@dataclass(frozen=True)
class Primitive:
    """One row of the table.

    ``reference`` evaluates the node in MLX itself: it folds constants, tells where a package departs from its source,
    and is checked against the function that was captured. ``family`` is the module that the row stands in.
    """

    name: str
    reference: Reference
    cases: tuple[Case, ...]
    family: str


PRIMITIVES: dict[str, Primitive] = {}


def primitive(name: str, mlx: Reference, cases: Sequence[Case]) -> None:
    """Add a row.

    Args:
        name: as ``mx.export_function`` tells it, or as a fusing pass makes it.
        mlx: what the node computes, in MLX: ``(node, *arrays)``.
        cases: at least one; each is converted, run and compared with MLX.

    Raises:
        ValueError: the primitive has a row already, or there is no case.
    """
    if name in PRIMITIVES:
        raise ValueError(f"{name} stands twice: in {PRIMITIVES[name].family} and here")
    if not cases:
        raise ValueError(f"{name} has no case; an op without a test is no op")
    family = sys._getframe(1).f_globals["__name__"].rpartition(".")[2]
    PRIMITIVES[name] = Primitive(name, mlx, tuple(cases), family)


def plain(function: Callable[..., mx.array]) -> Reference:
    """The reference of a primitive without arguments: the MLX function of the arrays alone."""
    return lambda _, *arrays: function(*arrays)


def integers(*shape: int, low: int = -9, high: int = 10) -> Maker:
    """int32, low <= n < high."""
    return lambda rng: rng.integers(low, high, shape).astype(np.int32)


def typed(dtype: str, *shape: int, low: int | None = None) -> Maker:
    """Integers over the whole of a narrow type, or from ``low`` up."""
    info = np.iinfo(dtype)
    return lambda rng: rng.integers(info.min if low is None else low, info.max, shape, endpoint=True).astype(dtype)


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
