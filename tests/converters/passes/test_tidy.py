"""What changes nothing goes, what stands twice stands once, and what looks alike stays."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from converters.graph import Graph, Node, Tensor
from converters.passes.tidy import drop_dead, drop_identities, merge_equal, name_outputs
from tests.converters.passes.graphs import chain, kept, normal, ops, passed

X = normal(3, 4)
SAME = {
    "StopGradient": (),
    "Copy": (),
    "Contiguous": (False,),
    "Depends": (),
    "Reshape": ((3, 4),),
    "Flatten": (0, 0),
    "Squeeze": ((),),
    "Broadcast": ((3, 4),),
    "Slice": ((0, 0), (3, 4), (1, 1)),
    "Transpose": ((0, 1),),
    "AsType": ("float32",),
}
STAYS = {
    "Slice": ((2, 3), (-4, -5), (-1, -1)),
    "Slice of one axis": ((2, 0), (-4, 4), (-1, 1)),
    "Transpose": ((1, 0),),
    "Abs": (),
}


@pytest.mark.parametrize("op", SAME)
def test_what_changes_nothing_goes(op):
    graph = chain((3, 4), ("Abs", (3, 4), ()), (op, (3, 4), SAME[op]), ("Exp", (3, 4), ()))
    after = drop_identities(graph).check("the pass")
    assert [(node.op, node.inputs) for node in after.nodes] == [("Abs", ("x",)), ("Exp", ("t0",))]


@pytest.mark.parametrize("name", STAYS)
def test_what_turns_numbers_round_stays(name):
    """A reversed slice has the shape of its source, and none of its numbers in their places."""
    shape = (4, 3) if name == "Transpose" else (3, 4)
    graph = chain((3, 4), ("Exp", (3, 4), ()), (name.partition(" ")[0], shape, STAYS[name]))
    assert kept(graph, drop_identities, X).nodes == graph.nodes


def test_slices_turned_round_are_kept_by_all_passes():
    assert ops(lambda x: x[::-1], X) == {"Slice": 1}
    assert ops(lambda x: x[:, ::-1] + 1, X) == {"Slice": 1, "Add": 1}
    assert ops(lambda x: x[::1, ::2] + 1, X) == {"Slice": 1, "Add": 1}


def test_types_of_one_kind_are_one():
    """Core ML has one float; an integer of another width is still another number."""
    assert ops(lambda x: mx.exp(x.astype(mx.float16).astype(mx.float32)), mx.zeros((2,))) == {"Exp": 1}
    assert ops(lambda x: mx.exp(x.astype(mx.int32).astype(mx.float32)), X * 3) == {"AsType": 2, "Exp": 1}
    assert ops(lambda x: x.astype(mx.int8).astype(mx.int32), mx.array([300, -300]))["AsType"] >= 1


def test_reshapes_in_a_row_are_one():
    graph = passed(lambda x: mx.exp(x.reshape(2, 6).reshape(4, 3).flatten()[None]), X)
    assert (graph.nodes[0].op, graph.nodes[0].out.shape) == ("Reshape", (1, 12))
    assert dict(graph.counts()) == {"Reshape": 1, "Exp": 1}


def test_a_reshape_that_another_reads_stays():
    found = ops(lambda x: (mx.exp(x.reshape(12)), mx.sin(x.reshape(12).reshape(2, 6))), X)
    assert found == {"Reshape": 2, "Exp": 1, "Sin": 1}


def test_the_dead_go_with_their_constants():
    tensor = Tensor("y", (2,), "float32")
    spare = Node("Add", ("x", "c"), (Tensor("z", (2,), "float32"),))
    graph = Graph(
        (Tensor("x", (2,), "float32"),), {"output": "y"}, {"c": np.zeros(2)}, (spare, Node("Exp", ("x",), (tensor,)))
    )
    after = drop_dead(graph)
    assert ([node.op for node in after.nodes], dict(after.constants)) == (["Exp"], {})
    assert [t.name for t in after.inputs] == ["x"]


def test_one_of_several_outputs_keeps_its_node():
    assert ops(lambda x: mx.divmod(x, 2.0)[1], X)["DivMod"] == 1


def test_equal_nodes_are_one():
    graph = passed(lambda x: mx.exp(x) * mx.exp(x) + mx.sin(mx.exp(x)), X)
    assert dict(graph.counts()) == {"Exp": 1, "Multiply": 1, "Sin": 1, "Add": 1}


def test_nodes_that_differ_stay_two():
    """In arguments, in inputs, in their order, or in what they make."""
    assert ops(lambda x: x.sum(0, keepdims=True) + x.sum(1, keepdims=True), X)["Reduce"] == 2
    assert ops(lambda x: (x - 2 * x) * (2 * x - x), X)["Subtract"] == 2
    two = (
        Node("AsType", ("x",), (Tensor("a", (2,), "int32"),)),
        Node("AsType", ("x",), (Tensor("b", (2,), "bool"),)),
    )
    graph = Graph((Tensor("x", (2,), "float32"),), {"p": "a", "q": "b"}, {}, two)
    assert merge_equal(graph).nodes == two


def named(graph):
    return dict(name_outputs(graph).outputs)


def test_public_names_go_to_what_makes_the_outputs():
    made = Node("Exp", ("x",), (Tensor("t", (2,), "float32"),))
    graph = Graph((Tensor("x", (2,), "float32"),), {"y": "t"}, {"c": np.zeros(2, np.float32)}, (made,))
    after = name_outputs(graph)
    assert (after.outputs, after.nodes[0].out.name) == ({"y": "y"}, "y")
    for outputs in ({"y": "x"}, {"y": "c"}, {"x": "t"}):
        kept_names = Graph(graph.inputs, outputs, graph.constants, graph.nodes)
        assert named(kept_names) == outputs
    twice = Graph(graph.inputs, {"y": "t", "z": "t"}, {}, graph.nodes)
    assert named(twice) == {"y": "y", "z": "y"}


@pytest.mark.parametrize(("shape", "dtype"), [((), "float32"), ((2,), "bool"), ((2,), "complex64")])
def test_no_public_name_for_what_changes_at_the_edge(shape, dtype):
    made = Node("Exp", ("x",), (Tensor("t", shape, dtype),))
    assert named(Graph((Tensor("x", shape, "float32"),), {"y": "t"}, {}, (made,))) == {"y": "t"}
