"""Small helpers that several families share."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.coreml.executor.blob import Array

__all__ = ["Array", "axes_of", "axis_of", "ints", "many", "per_channel"]


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


def many(values: Any) -> tuple[Any, ...]:
    """The elements of a tuple parameter, which arrives bare when it has only one."""
    return values if isinstance(values, tuple) else (values,)


def per_channel(vector: Any, rank: int, axis: int = 1) -> Array:
    """A vector shaped to broadcast along ``axis`` of a tensor of ``rank``."""
    shape = [1] * rank
    shape[axis] = -1
    return np.asarray(vector).reshape(shape)
