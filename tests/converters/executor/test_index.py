"""Gathers, scatters and sorts at every axis, against loops over elements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.converters.executor.calls import IOS16, IOS17, call, needs, normal, whole
from tests.tolerances import close

X = normal(2, 3, 4)
AXES = range(-3, 3)
MODES = {
    "update": lambda old, new: new,
    "add": lambda old, new: old + new,
    "sub": lambda old, new: old - new,
    "mul": lambda old, new: old * new,
    "div": lambda old, new: old / new,
    "max": max,
    "min": min,
}


@pytest.mark.parametrize("axis", AXES)
def test_gather(axis):
    indices = whole(0, X.shape[axis], 5, 2)
    moved = np.moveaxis(X, axis, 0)
    want = np.stack([[moved[i] for i in row] for row in indices])
    close(call("gather", x=X, indices=indices, axis=axis), np.moveaxis(want, (0, 1), np.add((0, 1), axis % 3)), "exact")
    close(call("gather", x=X, indices=np.int32(1), axis=axis), np.moveaxis(X, axis, 0)[1], "exact")


@pytest.mark.parametrize(("batch_dims", "axis"), [(1, 1), (1, 2), (1, -1), (2, 2), (2, 3), (2, -1)])
def test_gather_in_batches(batch_dims, axis):
    x = normal(2, 3, 4, 5)
    indices = whole(0, x.shape[axis], *x.shape[:batch_dims], 2, 3)
    got = call("gather", x=x, indices=indices, axis=axis, batch_dims=batch_dims)
    for batch in np.ndindex(*x.shape[:batch_dims]):
        close(got[batch], np.take(x[batch], indices[batch], axis=axis % 4 - batch_dims), "exact")


@pytest.mark.parametrize("axis", AXES)
def test_gather_along_axis(axis):
    indices = whole(0, X.shape[axis], *(5 if a == axis % 3 else n for a, n in enumerate(X.shape)))
    got = call("gather_along_axis", x=X, indices=indices, axis=axis)
    for spot in np.ndindex(*indices.shape):
        read = list(spot)
        read[axis] = indices[spot]
        assert got[spot] == X[tuple(read)]


@pytest.mark.parametrize(("batch_dims", "depth"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1)])
def test_gather_nd(batch_dims, depth):
    sizes = X.shape[batch_dims : batch_dims + depth]
    indices = np.stack([whole(0, n, *X.shape[:batch_dims], 5, seed=n) for n in sizes], axis=-1)
    got = call("gather_nd", x=X, indices=indices, batch_dims=batch_dims)
    for spot in np.ndindex(*indices.shape[:-1]):
        close(got[spot], X[(*spot[:batch_dims], *indices[spot])], "exact")


def combined(mode, old, new):
    """One element at a time; whole numbers are divided downwards."""
    return old // new if mode == "div" and isinstance(old, np.integer) else MODES[mode](old, new)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_scatters(mode, kind):
    """At every axis, the same element hit twice where its order doesn't matter, floats and whole numbers."""
    data = (normal(2, 3, 4) * 5).astype(kind)
    for axis in AXES:
        rows = np.array([1, 0] if mode == "update" else [1, 0, 1], np.int32)
        sides = [len(rows) if a == axis % 3 else n for a, n in enumerate(data.shape)]
        updates = whole(1, 5, *sides, seed=1).astype(kind)
        want, along = data.copy(), np.zeros(sides, np.int32)
        for spot in np.ndindex(*sides):
            written = list(spot)
            along[spot] = written[axis] = rows[spot[axis]]
            want[tuple(written)] = combined(mode, want[tuple(written)], updates[spot])
        given = {"data": data, "updates": updates, "axis": axis, "mode": mode}
        close(call("scatter", indices=rows, **given), want, "executor")
        close(call("scatter_along_axis", indices=along, **given), want, "executor")
    spots = np.array([[1, 2], [0, 0]] if mode == "update" else [[1, 2], [0, 0], [1, 2]], np.int32)
    updates, want = whole(1, 5, len(spots), 4, seed=2).astype(kind), data.copy()
    for spot, row in zip(spots, updates, strict=True):
        for j in range(4):
            want[(*spot, j)] = combined(mode, want[(*spot, j)], row[j])
    close(call("scatter_nd", data=data, indices=spots, updates=updates, mode=mode), want, "executor")


def test_scatters_add_by_default_and_leave_their_input():
    before = X.copy()
    rows, updates = np.array([0, 0], np.int32), np.ones((2, 3, 4), np.float32)
    for name in ("scatter", "scatter_along_axis"):
        indices = rows if name == "scatter" else np.zeros((2, 3, 4), np.int32)
        close(call(name, data=X, indices=indices, updates=updates), X + np.array([2, 0])[:, None, None], "executor")
    close(call("scatter_nd", data=X, indices=rows[:, None], updates=updates)[0], X[0] + 2, "executor")
    close(X, before, "exact")


def test_unknown_way_to_combine_is_refused():
    with pytest.raises(ValueError, match=r"unknown mode 'mean'; known are update, add, sub, mul, div, max, min"):
        call("scatter", data=X, indices=np.array([0]), updates=X[:1], mode="mean")


READS = {
    "gather": {"x": X, "axis": 1},
    "gather_along_axis": {"x": X, "axis": 1},
    "gather_nd": {"x": X.swapaxes(0, 1)},
    "scatter": {"data": X, "updates": np.float32(1), "axis": 1},
    "scatter_along_axis": {"data": X, "updates": np.float32(1), "axis": 1},
    "scatter_nd": {"data": X.swapaxes(0, 1), "updates": np.float32(1)},
}


@pytest.mark.parametrize("name", READS)
def test_indices_lie_within_their_axis(name):
    """Of a length of 3: −3 to 2 up to iOS 16, where negative ones count from the end; 0 to 2 since."""

    def run(index, opset):
        shape = (2, 1, 4) if name.endswith("along_axis") else (1, 1) if name.endswith("nd") else (1,)
        return call(name, opset=opset, indices=np.full(shape, index, np.int32), **READS[name])

    for index in (-1, -3):
        close(run(index, IOS16), run(index + 3, IOS17), "exact")
    for index, opset, told in ((3, IOS16, "negative ones from the end"), (-4, IOS16, "negative"), (3, IOS17, "none")):
        with pytest.raises(ValueError, match=rf"indices from {index} to {index} for .*; opset CoreML{opset} .*{told}"):
            run(index, opset)
    with pytest.raises(ValueError, match="opset CoreML7 takes none below 0"):
        run(-1, IOS17)


def test_no_indices_are_within_any_axis():
    assert call("gather", x=X, indices=np.zeros((0,), np.int32), axis=1).shape == (2, 0, 4)


def test_non_zero():
    x = np.array([[0, 3, 0], [2, 0, -1]], np.float32)
    close(call("non_zero", x=x), [[0, 1], [1, 0], [1, 2]], "ids")
    assert needs("non_zero", x=x) == 12


@pytest.mark.parametrize("axis", AXES)
def test_one_hot(axis):
    indices = np.array([[0, 2, 4], [1, 5, -1]], np.int32)
    want = np.array([[[7.0 if n == i else -2.0 for n in range(5)] for i in row] for row in indices])
    got = call("one_hot", indices=indices, one_hot_vector_size=5, axis=axis, on_value=7.0, off_value=-2.0)
    close(got, np.moveaxis(want, -1, axis), "exact")


def test_one_hot_of_one_number():
    close(call("one_hot", indices=np.int32(1), one_hot_vector_size=3), [0, 1, 0], "exact")


@pytest.mark.parametrize(("axis", "ascending"), itertools.product(AXES, (False, True)))
def test_sorts(axis, ascending):
    """Ties keep their order either way; Python sorts each row."""
    x = whole(0, 3, 4, 5, 6).astype(np.float32)
    want = np.apply_along_axis(
        lambda row: sorted(range(len(row)), key=lambda i: row[i] if ascending else -row[i]), axis, x
    )
    close(call("argsort", x=x, axis=axis, ascending=ascending), want, "ids")
    for k in (1, 3, -1):
        first = np.take(want, range(x.shape[axis] if k == -1 else k), axis=axis)
        values, order = call("topk", x=x, k=k, axis=axis, ascending=ascending)
        close(order, first, "ids")
        close(values, np.take_along_axis(x, first, axis), "exact")


def test_topk_by_default():
    values, order = call("topk", x=np.array([[1, 5, 3], [9, 7, 8]], np.float32))
    close(values, [[5], [9]], "exact")
    close(order, [[1], [0]], "ids")
    close(call("topk", x=np.array([1, 5, 3], np.float32), k=2, return_indices=False), [5, 3], "exact")
    close(call("argsort", x=np.array([1, 5, 3], np.float32)), [1, 2, 0], "ids")


def test_topk_foretells_values_and_indices():
    from converters.coreml.executor import OPS

    assert OPS["topk"].makes(x=normal(2, 6, 5), k=3, axis=1) == 2 * (2 * 5) * 3
    assert OPS["topk"].makes(x=normal(0, 6), k=3) == 3
    assert OPS["one_hot"].makes(indices=np.zeros((0,)), one_hot_vector_size=1 << 40) == 1 << 40
