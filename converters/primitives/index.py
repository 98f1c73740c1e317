"""Reading and writing at indices that other arrays name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from converters.graph import Node
from converters.primitives.registry import Case, booleans, given, integers, primitive, typed

MODES = ("max", "min", "add", "mul", "update")
"""MLX tells how a scatter combines by the number."""
AXIS_MODES = ("add", "update")
AXES = {"Gather": 0, "Scatter": 1}
"""Where their arguments have the indexed axes."""


def _gather(node: Node, x: mx.array, *indices: mx.array) -> mx.array:
    axes, sizes = node.args
    starts = [i.astype(mx.int32) if i.dtype == mx.bool_ else i for i in indices]
    rank, batch = len(sizes), starts[0].shape if starts else ()
    grid: list[Any] = []
    for axis, size in enumerate(sizes):
        steps = mx.arange(size).reshape([-1 if a == axis else 1 for a in range(rank)])
        if axis not in axes:
            grid.append(steps)
            continue
        start = starts[list(axes).index(axis)].astype(mx.int64)
        start = mx.where(start < 0, start + x.shape[axis], start)
        grid.append(start.reshape(*batch, *(1,) * rank) + steps)
    return x[tuple(grid)].reshape(node.out.shape)


primitive(
    "Gather",
    _gather,
    [
        Case("first_axis", lambda x, i: x[i][..., 0] + 1, [(3, 4), given(2, 0)]),
        Case("two_axes", lambda x, i, j: x[i, :, j], [(3, 4, 5), given(2, -1), given(0, 4)]),
        Case("broadcast", lambda x, i: x[i[:, None], i], [(3, 4, 5), given(0, -2)]),
        Case("all_axes", lambda x, i: x[:, i, i], [(3, 4, 5), given(-1, 2)]),
        Case("constant", lambda x: x[mx.array([0, -1]), :, mx.array([1, 2])], [(3, 4, 5)]),
        Case("booleans", lambda x, i: x[i, i], [booleans(3, 4), given(2, -1)]),
        Case("integers", lambda x, i: x[i, i], [integers(3, 4), given(2, -1)]),
        Case("argmax", lambda x: x[mx.arange(3), mx.argmax(x, axis=1)], [(3, 4)]),
    ],
)


@cache
def _table(bits: int, mode: str) -> nn.QuantizedEmbedding:
    made = nn.QuantizedEmbedding(4, 64, 32, bits, mode=mode)
    parts = mx.quantize(mx.sin(mx.arange(256.0)).reshape(4, 64), 32, bits, mode=mode)
    made.weight, made.scales = parts[:2]
    if len(parts) > 2:
        made.biases = parts[2]
    mx.eval(made.parameters())
    return made


def _rows_of(bits: int, mode: str) -> Callable[[mx.array], mx.array]:
    # Multiplied, so that rows in bfloat16 come out as float32.
    return lambda i: _table(bits, mode)(i) * mx.array(2.0)


primitive(
    "Take",
    lambda n, x, i: mx.take(x, i, axis=n.args[0]),
    [
        Case("embedding", lambda i: mx.arange(12.0).reshape(4, 3)[i], [given(3, 0, -1)]),
        Case("rows", lambda x, i: x[i], [(4, 3), integers(2, 2, low=-4, high=4)]),
        Case("last_axis", lambda x, i: mx.take(x, i, axis=-1), [(2, 3, 5), integers(2, 2, low=-5, high=5)]),
        Case("middle_axis", lambda x, i: mx.take(x, i, axis=1), [(2, 3, 5), given(1, -1)]),
        Case("scalar", lambda x, i: mx.take(x, i.reshape(()), axis=1), [(2, 3, 5), given(-1)]),
        Case("constant", lambda x: mx.take(x, mx.array([2, -1]), axis=1), [(2, 3, 5)]),
        Case("flat", mx.take, [(2, 3), given(5, -1)]),
        Case("integers", lambda x, i: x[i], [integers(4), given(3, -1)]),
        Case("quantised", _rows_of(8, "affine"), [given(3, 0)]),
        Case("quantised_mxfp4", _rows_of(4, "mxfp4"), [given(3, 0)]),
    ],
)


primitive(
    "GatherAxis",
    lambda n, x, i: mx.take_along_axis(x, i, axis=n.args[0]),
    [
        Case(
            "last",
            lambda x, i: mx.take_along_axis(x, i, axis=-1),
            [(2, 4), integers(2, 3, low=-4, high=4)],
        ),
        Case("first", lambda x, i: mx.take_along_axis(x, i, axis=0), [(4, 2, 3), integers(1, 2, 3, low=-4, high=4)]),
        Case("broadcast", lambda x, i: mx.take_along_axis(x, i, axis=1), [(3, 4, 2), integers(1, 5, 1, low=0, high=4)]),
    ],
)


def _scatter(node: Node, x: mx.array, *rest: mx.array) -> mx.array:
    mode, axes = node.args[:2]
    *indices, updates = rest
    sizes = node.args[2] if len(node.args) > 2 else updates.shape[indices[0].ndim :]
    updates = updates.reshape(*indices[0].shape, *sizes)
    numbers = np.array(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)
    values = np.array(updates.astype(mx.float32) if updates.dtype == mx.bfloat16 else updates)
    starts = [np.array(i).astype(np.int64).reshape(-1) for i in indices]
    combine = (np.maximum, np.minimum, np.add, np.multiply, lambda _, new: new)[mode]
    for row, value in enumerate(values.reshape(-1, *sizes)):
        begin = [0] * numbers.ndim
        for axis, start in zip(axes, starts, strict=True):
            begin[axis] = start[row] + (numbers.shape[axis] if start[row] < 0 else 0)
        spot = tuple(slice(b, b + s) for b, s in zip(begin, sizes, strict=True))
        numbers[spot] = combine(numbers[spot], value)
    return mx.array(numbers)


def _set(x: mx.array, i: mx.array, values: mx.array) -> mx.array:
    x[i] = values
    return x


def _set_window(x: mx.array, i: mx.array) -> mx.array:
    return x.at[i, 1:3].add(2.0)


primitive(
    "Scatter",
    _scatter,
    [
        Case("set", _set, [(3, 4), given(2, -3), (2, 4)]),
        Case("add", lambda x, i, y: x.at[i].add(y), [(3, 4), given(2, 2, -1), (3, 4)]),
        Case("subtract", lambda x, i, y: x.at[:, i].subtract(y), [(3, 4), given(2, -1), (3, 2)]),
        Case("max", lambda x, i, y: x.at[i].maximum(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("min", lambda x, i, y: x.at[i].minimum(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("product", lambda x, i, y: x.at[i].multiply(y), [(3, 4), given(0, 0), (2, 4)]),
        Case("two_axes", lambda x, i, y: x.at[i, :, i].add(y), [(3, 4, 5), given(0, -1), (2, 4)]),
        Case("window", _set_window, [(3, 4, 5), given(0, -1)]),
        Case("integers", lambda x, i: x.at[i].add(3), [integers(4), given(0, -1)]),
        Case("bytes", lambda x, i: x.at[i].add(x[:2]), [typed("uint8", 9), given(0, 0)]),
        Case("product_of_bytes", lambda x, i: x.at[i].multiply(x[:2]), [typed("int8", 9), given(0, -1)]),
        Case("diagonal", mx.diag, [(4,)]),
    ],
)


def _scatter_axis(node: Node, x: mx.array, indices: mx.array, updates: mx.array) -> mx.array:
    mode, axis = node.args
    if mode == 1:
        return mx.put_along_axis(x, indices, updates, axis=axis)
    (gradient,) = mx.vjp(lambda z: mx.take_along_axis(z, indices, axis=axis), [x], [updates])[1]
    return x + gradient


def _added_axis(x: mx.array, i: mx.array, y: mx.array) -> mx.array:
    return mx.vjp(lambda z: mx.take_along_axis(z, i, axis=1), [x], [y])[1][0]


primitive(
    "ScatterAxis",
    _scatter_axis,
    [
        Case("set", lambda x, y: mx.put_along_axis(x, mx.array([[2, -4]]), y, axis=1), [(3, 4), (3, 2)]),
        Case(
            "moving",
            lambda x, i, y: mx.put_along_axis(x, i, y, axis=0),
            [(4, 3), given(*[[0, -1, 2]]), (1, 3)],
        ),
        Case(
            "none", lambda x: mx.put_along_axis(x, mx.zeros((3, 0), mx.int32), mx.zeros((3, 0)), axis=1) + 1, [(3, 4)]
        ),
        Case("add", _added_axis, [(3, 4), integers(3, 6, low=-4, high=4), (3, 6)]),
    ],
)
