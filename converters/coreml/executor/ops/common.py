"""Small helpers that several families share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from converters.coreml.executor.blob import Array

__all__ = ["Array", "axes_of", "axis_of", "broadcast", "expect_shape", "ints", "per_channel", "product"]


def ints(value: Any) -> tuple[int, ...]:
    """A vector, or one number, as Python integers."""
    return tuple(int(v) for v in np.asarray(value).reshape(-1))


def axis_of(axis: Any, rank: int) -> int:
    """An axis counted from the front; out of range raises."""
    number = int(axis)
    if not -rank <= number < rank:
        raise ValueError(f"axis {number} is out of range for rank {rank}")
    return number % rank


def axes_of(axes: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from the front; None stands for all."""
    return tuple(range(rank)) if axes is None else tuple(axis_of(a, rank) for a in ints(axes))


def per_channel(vector: Any, x: Array, axis: int = 1) -> Array:
    """A vector shaped to broadcast along ``axis`` of x, with a number for each index there."""
    shape = [1] * x.ndim
    shape[axis_of(axis, x.ndim)] = x.shape[axis]
    return np.asarray(vector).reshape(shape)


def expect_shape(what: str, array: Array | None, shape: tuple[int, ...]) -> None:
    """Refuse an array that would broadcast where it should fit."""
    if array is not None and array.shape != shape:
        raise ValueError(f"{what}: got the shape {array.shape}, expected {shape}")


def product(sizes: Iterable[Any]) -> int:
    """The product of sizes, whatever integers they are."""
    return math.prod(map(int, sizes))


def broadcast(**arrays: Any) -> int:
    """How many numbers arrays have together, each stretched to the others."""
    return product(np.broadcast_shapes(*map(np.shape, arrays.values())))
