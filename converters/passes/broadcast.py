"""Broadcasts that the op behind them does by itself: MLX writes all of them out, MIL's operations need none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.graph import Graph, Node
from converters.passes.tidy import drop_dead

ELEMENTWISE = {
    *("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Power", "Remainder", "FloorDivide", "DivMod"),
    *("ArcTan2", "LogAddExp", "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"),
    *("LogicalAnd", "LogicalOr", "BitwiseBinary", "Select"),
}


def drop_broadcasts(graph: Graph) -> Graph:
    """The graph with inputs read from before a broadcast wherever the output's shape stays what it was."""
    return drop_dead(graph.with_nodes(_unbroadcast(graph, node) for node in graph.nodes))


def _unbroadcast(graph: Graph, node: Node) -> Node:
    inputs = node.inputs
    for position, name in enumerate(inputs):
        source = graph.producers.get(name)
        if source is not None and source.op == "Broadcast":
            before = (*inputs[:position], source.inputs[0], *inputs[position + 1 :])
            if _same_shape(node, [graph.tensors[i].shape for i in before], position):
                inputs = before
    return replace(node, inputs=inputs)


def _same_shape(node: Node, shapes: Sequence[tuple[int, ...]], position: int) -> bool:
    out = node.out.shape
    if node.op in ELEMENTWISE:
        return np.broadcast_shapes(*shapes) == out
    if node.op == "AddMM":
        return position == 2
    if node.op == "Matmul":
        a, b = shapes
        whole = len(a) > 1 and len(b) > 1 and (a[-2], b[-1]) == out[-2:]
        return whole and np.broadcast_shapes(a[:-2], b[:-2]) == out[:-2]
    return False
