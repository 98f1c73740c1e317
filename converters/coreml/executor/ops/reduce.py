"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import logsumexp

from converters.coreml.executor.ops.common import Array, axes_of, axis_of
from converters.coreml.executor.registry import Function, Ints, op

Reduction = Callable[..., Any]

# Each takes the tensor, the axes and whether they stay with length one.
TABLE: dict[str, Reduction] = {
    "reduce_l1_norm": lambda x, axes, keep: np.sum(np.abs(x), axis=axes, keepdims=keep),
    "reduce_l2_norm": lambda x, axes, keep: np.sqrt(np.sum(np.square(x), axis=axes, keepdims=keep)),
    "reduce_log_sum": lambda x, axes, keep: np.log(np.sum(x, axis=axes, keepdims=keep)),
    "reduce_log_sum_exp": lambda x, axes, keep: logsumexp(x, axis=axes, keepdims=keep),
    "reduce_max": lambda x, axes, keep: np.max(x, axis=axes, keepdims=keep),
    "reduce_mean": lambda x, axes, keep: np.mean(x, axis=axes, keepdims=keep),
    "reduce_min": lambda x, axes, keep: np.min(x, axis=axes, keepdims=keep),
    "reduce_prod": lambda x, axes, keep: np.prod(x, axis=axes, keepdims=keep),
    "reduce_sum": lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep),
    "reduce_sum_square": lambda x, axes, keep: np.sum(np.square(x), axis=axes, keepdims=keep),
}


def _register_table() -> None:
    def over(reduction: Reduction) -> Function:
        def run(x: Array, axes: Ints | None = None, keep_dims: bool = False) -> Array:
            return np.asarray(reduction(x, axes_of(axes, x.ndim), bool(keep_dims)))

        return run

    for name, reduction in TABLE.items():
        op(name)(over(reduction))


_register_table()


@op("reduce_argmax")
def reduce_argmax(x: Array, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Array:
    """The first index of the largest value along ``axis``."""
    return np.asarray(np.argmax(x, axis=axis_of(axis, x.ndim), keepdims=bool(keep_dims)))


@op("reduce_argmin")
def reduce_argmin(x: Array, axis: int = -1, keep_dims: bool = False, output_dtype: str = "int32") -> Array:
    """The first index of the smallest value along ``axis``."""
    return np.asarray(np.argmin(x, axis=axis_of(axis, x.ndim), keepdims=bool(keep_dims)))


@op("cumsum")
def cumsum(x: Array, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Array:
    """Running sums along ``axis``: without the element itself if ``exclusive``, from the end if ``reverse``."""
    x = np.flip(x, axis) if reverse else x
    total = np.cumsum(x, axis=axis, dtype=x.dtype)
    if exclusive:
        total = np.roll(total, 1, axis)
        total[tuple(slice(0, 1) if a == axis % x.ndim else slice(None) for a in range(x.ndim))] = 0
    return np.flip(total, axis) if reverse else total
