"""Patterns: what binds, what counts as a constant, in which order inputs may stand."""

from __future__ import annotations

import numpy as np
import pytest

from converters.graph import Graph, Node, Tensor
from converters.passes.match import Any, Const, Op, match, number, rewrite


def graph(op, inputs=("a", "b"), args=(), constants=None):
    """One node over inputs (2, 3) and constants."""
    constants = constants or {}
    tensors = tuple(Tensor(name, (2, 3), "float32") for name in dict.fromkeys(inputs) if name not in constants)
    node = Node(op, inputs, (Tensor("y", (2, 3), "float32"),), args)
    return Graph(tensors, {"output": "y"}, constants, (node,))


def ways(found, pattern, tensor="y"):
    return list(match(found, pattern, tensor, {}))


X, Y = Any("x"), Any("y")


@pytest.mark.parametrize(
    ("op", "count"), [("Add", 2), ("Multiply", 2), ("Maximum", 2), ("Minimum", 2), ("Subtract", 1)]
)
def test_inputs_may_change_sides_where_that_changes_nothing(op, count):
    assert ways(graph(op), Op(op, (X, Y))) == [{"x": "a", "y": "b"}, {"x": "b", "y": "a"}][:count]


def test_a_name_is_one_tensor():
    assert ways(graph("Subtract", ("a", "b")), Op("Subtract", (X, X))) == []
    assert ways(graph("Subtract", ("a", "a")), Op("Subtract", (X, X))) == [{"x": "a"}]


def test_primitive_arguments_and_number_of_inputs_must_be_the_patterns():
    found = graph("Sqrt", ("a",), args=([1, 2], True))
    assert ways(found, Op("Sqrt", (X,), args=((1, 2), True), name="root")) == [{"root": "y", "x": "a"}]
    assert ways(found, Op("Sqrt", (X,), args=((1, 2), False))) == []
    assert ways(found, Op("Exp", (X,))) == []
    assert ways(found, Op("Sqrt", (X, Y))) == []
    assert ways(found, Op("Sqrt", (Op("Exp", (X,)),))) == []


@pytest.mark.parametrize(
    ("value", "found", "matches"),
    [
        (1.702, 1.702, True),
        (1.702, 1.702 * (1 + 4e-4), True),
        (1.702, 1.702 * (1 - 4e-4), True),
        (1.702, 1.702 * (1 + 1e-3), False),
        (1.702, 1.702 * (1 - 1e-3), False),
        (0.0, 0.0, True),
        (0.0, 1e-12, False),
        (1.0, -1.0, False),
    ],
)
def test_constants_are_near_by_less_than_float16_rounds(value, found, matches):
    given = graph("Add", ("a", "c"), constants={"c": np.array(found)})
    assert bool(ways(given, Op("Add", (X, Const("one", value))))) == matches


@pytest.mark.parametrize(
    ("shape", "value", "rank", "matches"),
    [
        ((), 2.0, None, True),
        ((1, 1), 2.0, None, True),
        ((2,), 2.0, None, False),
        ((1, 1), 2.0, 0, False),
        ((1,), 2.0, 1, True),
        ((2, 3), None, None, True),
        ((2, 3), None, 1, False),
        ((2, 3), None, 2, True),
    ],
)
def test_a_constant_has_one_number_where_its_value_is_asked(shape, value, rank, matches):
    given = graph("Subtract", ("a", "c"), constants={"c": np.full(shape, 2.0)})
    assert bool(ways(given, Op("Subtract", (X, Const("c", value, rank))))) == matches


def test_what_is_computed_is_no_constant():
    assert ways(graph("Add"), Op("Add", (X, Const("c")))) == []


def test_the_number_that_a_constant_holds():
    assert number(graph("Add", ("a", "c"), constants={"c": np.array([[2.5]])}), "c") == 2.5


def test_the_first_way_that_is_taken_counts():
    """``build`` may turn a way down; what no longer is needed goes, what makes several outputs stays."""
    found = graph("Add", ("a", "b"))
    seen = []

    def build(_, node, bound):
        seen.append(dict(bound))
        return Node("Copy", (bound["x"],), node.outputs) if bound["x"] == "b" else None

    after = rewrite(found, Op("Add", (X, Y)), build)
    assert seen == [{"x": "a", "y": "b"}, {"x": "b", "y": "a"}]
    assert [(node.op, node.inputs) for node in after.nodes] == [("Copy", ("b",))]
    assert rewrite(found, Op("Add", (X, Y)), lambda *_: None).nodes == found.nodes
    pair = Node("Add", ("a", "b"), (Tensor("y", (2, 3), "float32"), Tensor("z", (2, 3), "float32")))
    several = Graph(found.inputs, found.outputs, {}, (pair,))
    assert rewrite(several, Op("Add", (X, Y)), build).nodes == (pair,)
