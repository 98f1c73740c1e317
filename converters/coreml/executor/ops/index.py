"""Gathering, scattering and sorting by index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.coreml.executor.ops.common import Array, axis_of, product
from converters.coreml.executor.registry import Function, Ints, Node, Number, Numbers, op

IOS17 = 7


def _checked(indices: Any, sizes: Any, node: Node) -> Array:
    """Indices as integers; since iOS 17 a negative one is out of range, before it counts from the end."""
    array = np.asarray(indices).astype(np.int64)
    lowest = 0 if node.opset >= IOS17 else -np.asarray(sizes)
    if array.size and (np.any(array < lowest) or np.any(array >= sizes)):
        raise ValueError(
            f"indices from {array.min()} to {array.max()} for a length of {sizes}; "
            f"opset CoreML{node.opset} takes {'none below 0' if node.opset >= IOS17 else 'negative ones from the end'}"
        )
    return array


def _gathers(x: Array, indices: Any, axis: int = 0, batch_dims: int = 0, **_: Any) -> int:
    inner = product(x.shape[batch_dims:]) // max(1, x.shape[axis_of(axis, x.ndim)])
    return product((inner, np.size(indices)))


@op("gather", node=True, makes=_gathers)
def gather(
    x: Array, indices: Ints, node: Node, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False
) -> Array:
    """x[..., indices, ...] along ``axis``; the first ``batch_dims`` dimensions go in step with those of x."""
    axis = axis_of(axis, x.ndim)
    index = _checked(indices, x.shape[axis], node)
    if batch_dims == 0:
        return np.take(x, index, axis=axis)
    batch = x.shape[:batch_dims]
    rows = x.reshape(-1, *x.shape[batch_dims:])
    taken = [np.take(r, i, axis=axis - batch_dims) for r, i in zip(rows, index.reshape(len(rows), -1), strict=True)]
    inner = x.shape[batch_dims:axis] + index.shape[batch_dims:] + x.shape[axis + 1 :]
    return np.stack(taken).reshape(batch + inner)


def _gathers_along(x: Array, indices: Array, axis: int = 0, **_: Any) -> int:
    rest = np.broadcast_shapes(np.delete(x.shape, axis), np.delete(indices.shape, axis))
    return product((*rest, indices.shape[axis]))


@op("gather_along_axis", node=True, makes=_gathers_along)
def gather_along_axis(x: Array, indices: Ints, node: Node, axis: int = 0, validate_indices: bool = False) -> Array:
    """out[p, i, q] = x[p, indices[p, i, q], q], the middle index being that of ``axis``."""
    return np.take_along_axis(x, _checked(indices, x.shape[axis], node), axis=axis)


def _gathers_nd(x: Array, indices: Array, batch_dims: int = 0, **_: Any) -> int:
    *positions, depth = np.shape(indices)
    return product((*positions, *x.shape[batch_dims + depth :]))


@op("gather_nd", node=True, makes=_gathers_nd)
def gather_nd(x: Array, indices: Ints, node: Node, batch_dims: int = 0, validate_indices: bool = False) -> Array:
    """out[i…] = x[b…, indices[i…]]: the last dimension of ``indices`` is a position in x, behind ``batch_dims``."""
    depth = np.shape(indices)[-1]
    index = _checked(indices, np.array(x.shape[batch_dims : batch_dims + depth]), node)
    grid = np.indices(index.shape[:-1])[:batch_dims]
    return np.asarray(x[(*grid, *np.moveaxis(index, -1, 0))])


def _combine(data: Array, index: tuple[Any, ...], updates: Any, mode: str) -> Array:
    """data with the elements at ``index`` replaced by, or combined with, the updates, one after the other."""
    out = data.copy()
    if mode == "update":
        out[index] = updates
        return out
    known = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide if data.dtype.kind == "f" else np.floor_divide,
        "max": np.maximum,
        "min": np.minimum,
    }
    if mode not in known:
        raise ValueError(f"unknown mode {mode!r}; known are update, {', '.join(known)}")
    known[mode].at(out, index, updates)
    return out


def _scatters(spots: Callable[[Array, int], tuple[Any, ...]]) -> Function:
    """A scatter along one axis: the elements at ``spots(indices, axis)`` combined with the updates."""

    def scatter(
        data: Array,
        indices: Ints,
        updates: Numbers,
        node: Node,
        axis: int = 0,
        mode: str = "add",
        validate_indices: bool = False,
    ) -> Array:
        axis = axis_of(axis, data.ndim)
        return _combine(data, spots(_checked(indices, data.shape[axis], node), axis), updates, mode)

    return scatter


def _rows(index: Array, axis: int) -> tuple[Any, ...]:
    return (slice(None),) * axis + (index,)


def _elements(index: Array, axis: int) -> tuple[Any, ...]:
    grid: list[Any] = list(np.indices(index.shape, sparse=True))
    grid[axis] = index
    return tuple(grid)


# data[..., indices[i], ...] ∘ updates[..., i, ...], and data[p, indices[p, i, q], q] ∘ updates[p, i, q].
op("scatter", node=True)(_scatters(_rows))
op("scatter_along_axis", node=True)(_scatters(_elements))


@op("scatter_nd", node=True)
def scatter_nd(
    data: Array, indices: Ints, updates: Numbers, node: Node, mode: str = "add", validate_indices: bool = False
) -> Array:
    """data[indices[i…]] ∘ updates[i…]: the last dimension of ``indices`` is a position in data."""
    index = _checked(indices, np.array(data.shape[: np.shape(indices)[-1]]), node)
    return _combine(data, tuple(np.moveaxis(index, -1, 0)), updates, mode)


@op("non_zero", needs=lambda x: x.size * x.ndim)
def non_zero(x: Array) -> Array:
    """The positions of the elements other than zero, a row each: (count, rank)."""
    return np.argwhere(x)


@op(
    "one_hot",
    makes=lambda indices, one_hot_vector_size, **_: product((max(1, np.size(indices)), one_hot_vector_size)),
    reads="one_hot_vector_size",
)
def one_hot(
    indices: Ints, one_hot_vector_size: int, axis: int = -1, on_value: Number = 1, off_value: Number = 0
) -> Array:
    """``on_value`` where the new dimension's index equals the element, else ``off_value``."""
    index = np.asarray(indices)
    axis = axis_of(axis, index.ndim + 1)
    numbers = np.arange(int(one_hot_vector_size)).reshape([-1] + [1] * (index.ndim - axis))
    return np.asarray(np.where(np.expand_dims(index, axis) == numbers, on_value, off_value))


def _order(x: Array, axis: int, ascending: bool) -> Array:
    """Indices that sort; equal elements keep their order either way."""
    if ascending:
        return np.argsort(x, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.asarray(x.shape[axis] - 1 - np.flip(backwards, axis))


@op("argsort")
def argsort(x: Array, axis: int = -1, ascending: bool = False) -> Array:
    """The indices that sort x along ``axis``."""
    return _order(x, axis, ascending)


def _tops(x: Array, k: int = 1, axis: int = -1, **_: Any) -> int:
    return product((max(1, 2 * (x.size // max(1, x.shape[axis]))), k))


@op("topk", makes=_tops, reads="k")
def topk(
    x: Array,
    k: int = 1,
    axis: int = -1,
    ascending: bool = False,
    sort: bool = True,
    return_indices: bool = True,
    output_indices_dtype: str = "int32",
) -> Array | tuple[Array, Array]:
    """The k largest values along ``axis``, or smallest if ``ascending``, and their indices; −1 takes all."""
    count = x.shape[axis] if k == -1 else int(k)
    order = np.take(_order(x, axis, ascending), np.arange(count), axis=axis)
    values = np.take_along_axis(x, order, axis=axis)
    return (values, order) if return_indices else values
