"""A part of an array written anew, and slices whose start is computed."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np

from converters.graph import Node
from converters.primitives.registry import Case, booleans, given, integers, primitive, typed
from converters.primitives.shape import spans


def _slice_update(node: Node, x: mx.array, update: mx.array) -> mx.array:
    spots = np.ix_(*spans(node.args[-3:], x.shape))
    grid = tuple(mx.array(s) for s in spots)
    old, mode = x[grid], node.args[0]
    x = mx.array(x)
    x[grid] = (mx.maximum, mx.minimum, mx.add, mx.multiply, lambda _, n: n)[mode](old, update)
    return x


def _set(*spots: slice | int) -> Callable[[mx.array, mx.array], mx.array]:
    def write(x: mx.array, y: mx.array) -> mx.array:
        x[spots] = y
        return x

    return write


primitive(
    "SliceUpdate",
    _slice_update,
    [
        Case("rows", _set(slice(1, 3)), [(4, 3), (2, 3)]),
        Case("inside", _set(slice(1, 3), slice(2, 4)), [(4, 5), (2, 2)]),
        Case("strided", _set(slice(None), slice(1, None, 2)), [(3, 5), (3, 2)]),
        Case("from_the_end", _set(slice(1, -1), slice(-4, -1)), [(4, 5), (2, 3)]),
        Case("reversed", _set(slice(None, None, -1)), [(3, 5), (3, 5)]),
        Case("reversed_from_the_end", _set(slice(3, -5, -1)), [(5, 4), (3, 4)]),
        Case("beyond", _set(slice(-9, 2), slice(9, -9, -2)), [(3, 5), (2, 3)]),
        Case("bytes", lambda x: x.at[:-1].add(x[1:]), [typed("uint8", 9)]),
        Case("product_of_bytes", lambda x: x.at[1:].multiply(x[:-1]), [typed("int8", 9)]),
        Case("whole", _set(slice(None)), [(3, 5), (3, 5)]),
        Case("add", lambda x, y: x.at[:, 1:3].add(y), [(3, 4), (3, 2)]),
        Case("maximum", lambda x, y: x.at[:, 1:3].maximum(y), [(3, 4), (3, 2)]),
        Case("minimum", lambda x, y: x.at[:, 1:3].minimum(y), [(3, 4), (3, 2)]),
        Case("product", lambda x, y: x.at[:, 1:3].multiply(y), [(3, 4), (3, 2)]),
        Case("integers", _set(slice(1, 3)), [integers(4), integers(2)]),
        Case("booleans", _set(slice(1, 3)), [booleans(4), booleans(2)]),
    ],
)


primitive(
    "DynamicSlice",
    lambda n, x, start: mx.slice(x, start, tuple(n.args[0]), tuple(n.args[1])),
    [
        Case("one", lambda x, i: mx.slice(x, i, (1,), (3, 2)), [(3, 5), given(2)]),
        Case("two", lambda x, i: mx.slice(x, i, (0, 2), (2, 4, 1)), [(3, 4, 5), given(1, 4)]),
        Case("constant", lambda x: mx.slice(x, mx.array([2]), (1,), (3, 2)), [(3, 5)]),
        Case("booleans", lambda x, i: mx.slice(x, i, (1,), (3, 2)), [booleans(3, 5), given(2)]),
    ],
)


primitive(
    "DynamicSliceUpdate",
    lambda n, x, update, start: mx.slice_update(x, update, start, tuple(n.args[0])),
    [
        Case("one", lambda x, y, i: mx.slice_update(x, y, i, (1,)), [(3, 5), (3, 2), given(2)]),
        Case("two", lambda x, y, i: mx.slice_update(x, y, i, (0, 2)), [(3, 4, 5), (2, 4, 1), given(1, 4)]),
        Case("corner", lambda x, y, i: mx.slice_update(x, y, i, (1,)), [(3, 4, 5), (2, 2, 5), given(1)]),
        Case("constant", lambda x, y: mx.slice_update(x, y, mx.array([2]), (1,)), [(3, 5), (3, 2)]),
    ],
)


def _masked_scatter(node: Node, x: mx.array, mask: mx.array, source: mx.array) -> mx.array:
    batch = x.shape[0]
    flat = mask.reshape(batch, -1)
    position = mx.maximum(mx.cumsum(flat.astype(mx.int32), axis=1) - 1, 0)
    return mx.where(mask, mx.take_along_axis(source.reshape(batch, -1), position, axis=1).reshape(x.shape), x)


def _set_masked(x: mx.array, mask: mx.array, y: mx.array) -> mx.array:
    x[mask] = y
    return x


primitive(
    "MaskedScatter",
    _masked_scatter,
    [
        Case("numbers", _set_masked, [(2, 3), booleans(2, 3), (6,)]),
        Case("one", lambda x, m: _set_masked(x, m, mx.array(2.0)), [(2, 3), booleans(2, 3)]),
    ],
)
