"""Broadcasts, empty arrays, slices, gathers and scatters: written with fewer axes, and the same numbers."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from converters.passes.broadcast import drop_broadcasts
from converters.passes.empty import drop_empty
from converters.passes.indexing import join_indexing
from converters.passes.slices import slice_constant_gathers, squeeze_slices
from tests.converters.passes.graphs import chain, kept, normal, ops, passed

X, Y = normal(3, 4), normal(4, seed=1)
TALL, SQUARE = normal(4, 2, seed=2), normal(4, 4, seed=3)


@pytest.mark.parametrize(
    ("fn", "arrays", "left"),
    [
        (lambda x, y: x + y, (X, Y), 0),
        (lambda x, y: mx.broadcast_to(y, (3, 4)) + mx.broadcast_to(y[:1], (3, 4)), (X, Y), 1),
        (lambda x, y: mx.where(x > y, x, y), (X, Y), 0),
        (lambda x, y: mx.broadcast_to(x[:1], (3, 4)) @ TALL, (X, Y), 1),
        (lambda x, y: x[None] @ mx.broadcast_to(y[:, None], (5, 4, 1)), (X, Y), 1),
        (lambda x, y: x @ mx.broadcast_to(y[:, None], (4, 2)), (X, Y), 1),
        (lambda x, y: mx.broadcast_to(x, (5, 3, 4)) @ mx.broadcast_to(y[:, None], (5, 4, 1)), (X, Y), 1),
        (lambda x, y: mx.addmm(mx.broadcast_to(y, (3, 4)), x, SQUARE), (X, Y), 0),
        (lambda x, y: mx.addmm(x, mx.broadcast_to(x[:1], (3, 4)), SQUARE), (X, Y), 1),
        (lambda x, y: mx.concatenate([x, mx.broadcast_to(y, (3, 4))]), (X, Y), 1),
        (lambda x, y: mx.exp(mx.broadcast_to(y, (3, 4))), (X, Y), 1),
    ],
)
def test_broadcasts_go_where_the_op_does_them(fn, arrays, left):
    assert passed(fn, *arrays, by=drop_broadcasts).counts()["Broadcast"] == left


def test_writing_nothing_changes_nothing():
    nothing = mx.zeros((0, 4))
    assert "Concatenate" in ops(lambda x: mx.concatenate([x, nothing, x]), X)
    graph = passed(lambda x: mx.concatenate([x, nothing, x]), X, by=drop_empty)
    assert [len(node.inputs) for node in graph.nodes if node.op == "Concatenate"] == [2]
    for fn in (
        lambda x: mx.slice_update(x, nothing, mx.array([0]), axes=[0]) + 1,
        lambda x: x.at[mx.zeros((0,), mx.int32)].add(nothing) + 1,
        lambda x: mx.put_along_axis(x, mx.zeros((0, 4), mx.int32), nothing, 0) + 1,
    ):
        assert ops(fn, X) == {"Add": 1}


def test_what_writes_something_stays():
    assert ops(lambda x: x.at[mx.array([1])].add(mx.ones((1, 4))), X) == {"Scatter": 1}


@pytest.mark.parametrize("index", [0, 2, -1])
def test_one_row_by_a_constant_is_a_slice(index):
    assert ops(lambda x: x[index], X) == {"Pick": 1}
    assert ops(lambda x: x[:, index], X) == {"Pick": 1}
    (node,) = passed(lambda x: x[index], X).nodes
    assert node.args == ((index % 3, 0), (index % 3 + 1, 4), (1, 1), (0,))


def test_rows_by_several_or_computed_numbers_stay():
    assert "Gather" in passed(lambda x: x[mx.array([0, 1])], X, by=slice_constant_gathers).counts()
    assert "Gather" in passed(lambda x, i: x[i], X, mx.array(1), by=slice_constant_gathers).counts()


@pytest.mark.parametrize(
    ("begin", "end", "step", "middle", "out", "dropped"),
    [
        ((1, 0, 2), (2, 3, 3), (1, 1, 1), (1, 3, 1), (3,), (0, 2)),
        ((0, 0, 0), (1, 3, 4), (1, 1, 1), (1, 3, 4), (3, 4), (0,)),
        ((0, 0, 0), (2, 3, 1), (1, 2, 1), (2, 2, 1), (2, 2), (2,)),
        ((0, 1, 0), (1, 2, 1), (1, 1, 1), (1, 1, 1), (1,), (1, 2)),
    ],
)
def test_a_slice_and_what_drops_its_axes_are_one(begin, end, step, middle, out, dropped):
    graph = chain((2, 3, 4), ("Slice", middle, (begin, end, step)), ("Reshape", out, (out,)))
    (node,) = kept(graph, squeeze_slices, normal(2, 3, 4)).nodes
    assert (node.op, node.args) == ("Pick", (begin, end, step, dropped))


@pytest.mark.parametrize(
    ("begin", "end", "step", "middle", "out"),
    [
        ((0, 0, 0), (2, 3, 4), (1, 1, 1), (2, 3, 4), (6, 4)),
        ((0, 0, 0), (1, 3, 4), (1, 1, 1), (1, 3, 4), (4, 3)),
        ((0, 0, 0), (1, 3, 4), (1, 1, 1), (1, 3, 4), (3, 4, 1)),
        ((1, 0, 0), (0, 3, 4), (-1, 1, 1), (1, 3, 4), (3, 4)),
        ((0, 0, 0), (1, 1, 1), (1, 1, 1), (1, 1, 1), ()),
    ],
)
def test_other_reshapes_of_a_slice_stay(begin, end, step, middle, out):
    graph = chain((2, 3, 4), ("Slice", middle, (begin, end, step)), ("Reshape", out, (out,)))
    assert kept(graph, squeeze_slices, normal(2, 3, 4)).nodes == graph.nodes


INDEX = mx.array([2, 0, 1, 2])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_whole_rows_are_taken(axis, shape):
    """Whatever axis is named, the gather with its transpose and squeeze is one Take."""
    graph = passed(lambda x, i: mx.take(x, i.reshape(shape), axis=axis) + 1, normal(3, 4, 5), INDEX, by=join_indexing)
    assert [node.args for node in graph.nodes if node.op == "Take"] == [(axis,)]
    assert "Gather" not in graph.counts()


NEAR = {
    "two axes": lambda x, i: x[i, i],
    "another order of axes": lambda x, i: mx.take(x, i, axis=1).transpose(1, 0, 2),
    "a further transpose": lambda x, i: mx.take(x, i, axis=1).transpose(2, 1, 0),
}


@pytest.mark.parametrize("name", NEAR)
def test_other_gathers_keep_their_numbers(name):
    graph = passed(NEAR[name], normal(3, 4, 5), INDEX)
    assert graph.counts()["Take"] + graph.counts()["Gather"] == 1
    assert set(graph.counts()) - {"Take", "Gather"} <= {"Transpose", "Reshape"}


def test_windows_of_a_gather_are_no_rows():
    """A slice that is not the whole of the other axes stays a gather."""
    args = ((0,), (1, 2))
    graph = chain((3, 4), ("Abs", (3, 4), ()))
    from converters.graph import Graph, Node, Tensor

    nodes = (
        Node("Gather", ("x", "i"), (Tensor("g", (2, 1, 2), "float32"),), args),
        Node("Squeeze", ("g",), (Tensor("y", (2, 2), "float32"),), ((1,),)),
    )
    inputs = (*graph.inputs, Tensor("i", (2,), "int32"))
    after = join_indexing(Graph(inputs, {"output": "y"}, {}, nodes)).check("the pass")
    assert [node.op for node in after.nodes] == ["Gather"]
    assert after.nodes[0].out.shape == (2, 2)


def test_updates_of_a_scatter_lose_their_axes_of_one():
    graph = passed(lambda x, i, y: x.at[i].add(y), normal(3, 4), INDEX, normal(4, 4), by=join_indexing)
    (node,) = [node for node in graph.nodes if node.op == "Scatter"]
    assert node.args[2] == (1, 4)
    assert graph.tensors[node.inputs[-1]].shape == (4, 4)


def test_constants_with_many_numbers_from_few_are_not_written_out():
    """What is folded: anything of a million numbers, and what is no more than 16 times its sources."""
    from converters.passes.fold import fold_constants

    million, growth = 1 << 20, 16

    def filled(count):
        return lambda x: x + mx.broadcast_to(mx.array([1.0, 2.0]), (count // 2, 2)).sum()

    assert "Broadcast" not in passed(filled(million), mx.zeros(()), by=fold_constants).counts()
    assert "Broadcast" in passed(filled(million + 2), mx.zeros(()), by=fold_constants).counts()
    source = mx.zeros((million // growth + 1,))
    for times, left in ((growth, 0), (growth + 1, 1)):
        graph = passed(
            lambda x, times=times: x + mx.broadcast_to(source, (times, source.size)).max(),
            mx.zeros(()),
            by=fold_constants,
        )
        assert graph.counts()["Broadcast"] == left


def test_only_what_reads_constants_alone_is_folded():
    graph = passed(lambda x: mx.sin(x) * mx.sin(mx.array([0.5, 2.0])), mx.ones((2,)))
    assert dict(graph.counts()) == {"Sin": 1, "Multiply": 1}
    (value,) = (array for array in graph.constants.values() if array.size == 2 and np.allclose(array, np.sin([0.5, 2])))
    assert value.dtype == np.float32
