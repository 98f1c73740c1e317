"""Shapes and positions: what moves numbers and changes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from converters.graph import Node
from converters.primitives.registry import Case, booleans, integers, primitive

primitive(
    "Reshape",
    lambda n, x: mx.reshape(x, n.out.shape),
    [Case("merge", lambda x: x.reshape(6, -1), [(2, 3, 4)]), Case("scalar", lambda x: x.reshape(()) + 1, [(1, 1)])],
)


primitive("Flatten", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: mx.flatten(x, 1, 2), [(2, 3, 4)])])


primitive(
    "Unflatten", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: mx.unflatten(x, 1, (2, 3)), [(2, 6)])]
)


primitive("Squeeze", lambda n, x: mx.reshape(x, n.out.shape), [Case("one", lambda x: x.squeeze(1), [(2, 1, 4)])])


primitive("ExpandDims", lambda n, x: mx.reshape(x, n.out.shape), [Case("two", lambda x: x[:, None, :, None], [(2, 4)])])


primitive(
    "Transpose", lambda n, x: mx.transpose(x, n.args[0]), [Case("swap", lambda x: x.transpose(0, 2, 1), [(2, 3, 4)])]
)


primitive(
    "Broadcast",
    lambda n, x: mx.broadcast_to(x, n.out.shape),
    [Case("rows", lambda x: mx.broadcast_to(x, (3, 2, 4)), [(2, 1)])],
)


def spans(args: Sequence[Any], shape: Sequence[int]) -> list[range]:
    """The positions that a slice names, axis by axis: MLX gives starts as they are, and ends as they were written."""
    found = []
    for begin, end, stride, size in zip(*args, shape, strict=True):
        stop = end + size if end < 0 else end
        found.append(range(begin, max(stop, -1) if stride < 0 else min(max(stop, begin), size), stride))
    return found


def _sliced(x: mx.array, args: Sequence[Any]) -> mx.array:
    return x[tuple(slice(s.start, None if s.stop < 0 else s.stop, s.step) for s in spans(args, x.shape))]


primitive(
    "Slice",
    lambda n, x: _sliced(x, n.args),
    [
        Case("ends", lambda x: x[:, 1:3, ::2], [(2, 4, 5)]),
        Case("from_the_end", lambda x: x[1:-1, :-2], [(4, 5)]),
        Case("reversed", lambda x: x[::-1, 1:], [(3, 4)]),
        Case("reversed_from_the_end", lambda x: x[3:-5:-1, -1:-4:-2], [(5, 4)]),
        Case("beyond", lambda x: x[-9:9, 9:-9:-1], [(3, 4)]),
    ],
)


primitive(
    "Pick",
    lambda n, x: _sliced(x, n.args[:3]).reshape(n.out.shape),
    [
        Case("row", lambda x: x[1] * 2, [(3, 4)]),
        Case("both_ends", lambda x: x[0, :, 2] * 2, [(2, 3, 4)]),
        Case("kept_ones", lambda x: x[1, None, 1:3] * 2, [(2, 3, 1)]),
    ],
)


primitive(
    "Concatenate",
    lambda n, *x: mx.concatenate(list(x), n.args[0]),
    [Case("last", lambda x, y: mx.concatenate([x, y], -1), [(2, 3), (2, 4)])],
)


primitive(
    "Split",
    lambda n, x: mx.split(x, list(n.args[0]), n.args[1]),
    [
        Case("equal", lambda x: sum(mx.split(x, 3, axis=1)), [(2, 6)]),
        Case("at", lambda x: mx.split(x, [1, 3], axis=0), [(5, 2)]),
        Case("rolled", lambda x: mx.roll(x, 2, 1), [(2, 5)]),
    ],
)


def _pad(node: Node, x: mx.array, value: mx.array) -> mx.array:
    axes, low, high = node.args
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, low, high, strict=True):
        widths[axis] = (before, after)
    return mx.pad(x, widths, constant_values=value)


primitive(
    "Pad",
    _pad,
    [
        Case("zeros", lambda x: mx.pad(x, [(1, 2), (0, 3)]), [(2, 3)]),
        Case("value", lambda x: mx.pad(x, [(0, 0), (1, 1), (2, 0)], constant_values=-2.5), [(2, 3, 4)]),
        Case("variable", lambda x, v: mx.pad(x, [(1, 0), (0, 2)], constant_values=v), [(2, 3), ()]),
        Case("integers", lambda x: mx.pad(x, [(1, 2), (0, 3)], constant_values=7), [integers(2, 3)]),
        Case("booleans", lambda x: mx.pad(x, [(1, 2)], constant_values=True), [booleans(3)]),
    ],
)


def positions(node: Node) -> np.ndarray[Any, np.dtype[np.int32]]:
    shape, strides, offset = node.args
    found = np.full(shape, offset, np.int32)
    for axis, stride in enumerate(strides):
        found += stride * np.arange(shape[axis], dtype=np.int32).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
    return found


primitive(
    "AsStrided",
    lambda n, x: x.reshape(-1)[mx.array(positions(n))],
    [
        Case("windows", lambda x: mx.as_strided(x, (4, 3), (1, 1), 0), [(6,)]),
        Case("grid", lambda x: mx.as_strided(x, (2, 2, 3), (8, 1, 2), 1), [(3, 8)]),
        Case("booleans", lambda x: mx.as_strided(x, (4, 3), (1, 1), 0), [booleans(6)]),
    ],
)
