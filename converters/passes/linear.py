"""Products with a constant matrix, and the constant added to them, as one linear layer."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import Graph, Node
from converters.passes.match import Any, Const, Op, rewrite
from converters.passes.tidy import RESHAPES, drop_dead

X, W, B = Any("x"), Const("w", rank=2), Const("b", rank=1)


def fuse_linear(graph: Graph) -> Graph:
    """The graph with nodes Linear(x, w[, b]), w (D_in, D_out)."""
    graph = rewrite(graph, Op("Matmul", (X, W)), _linear)
    graph = rewrite(graph, Op("AddMM", (X, W, B), args=(1.0, 1.0)), _linear)
    graph = rewrite(graph, Op("Add", (Op("Linear", (X, W)), B)), _linear)
    return drop_dead(graph.with_nodes(_whole(graph, node) for node in graph.nodes))


def _whole(graph: Graph, node: Node) -> Node:
    """Linear(x) where MLX flattens x (…, D) to a matrix before the product and unfolds the result after it."""
    linear = graph.producers.get(node.inputs[0]) if node.op in RESHAPES else None
    flat = graph.producers.get(linear.inputs[0]) if linear is not None and linear.op == "Linear" else None
    if linear is None or flat is None or flat.op not in RESHAPES:
        return node
    shape = graph.tensors[flat.inputs[0]].shape
    if shape[-1:] != flat.out.shape[-1:] or node.out.shape != (*shape[:-1], linear.out.shape[-1]):
        return node
    return Node("Linear", (flat.inputs[0], *linear.inputs[1:]), node.outputs, (), linear.scope)


def _linear(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
    w, rank = graph.constants[b["w"]], len(graph.tensors[b["x"]].shape)
    if w.ndim != 2 or rank < 2:
        return None
    if "b" not in b:
        return Node("Linear", (b["x"], b["w"]), node.outputs, (), node.scope)
    if graph.constants[b["b"]].shape != (w.shape[1],) or node.out.shape[-1] != w.shape[1]:
        return None
    return Node("Linear", (b["x"], b["w"], b["b"]), node.outputs, (), node.scope)
