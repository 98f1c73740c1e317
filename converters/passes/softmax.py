"""Softmax of scaled scores, which half precision can't hold: the largest is taken away before they are scaled."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Graph, Node, Tensor
from converters.passes.tidy import drop_dead

_LARGEST, _LEAST = 5, 4
"""MLX's numbers of the kinds of Reduce."""


def subtract_first(graph: Graph) -> Graph:
    """The graph with softmax(c · (x − max x)) for softmax(c · x), and the least of x where c is below 0."""
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _cooled(graph, node)
    return drop_dead(graph.with_nodes(nodes))


def _cooled(graph: Graph, node: Node) -> list[Node]:
    scaled = graph.producers.get(node.inputs[0]) if node.op == "Softmax" else None
    if scaled is None or scaled.op != "Multiply":
        return [node]
    x, factor = sorted(scaled.inputs, key=graph.constants.__contains__)
    if factor not in graph.constants or graph.constants[factor].size != 1 or x in graph.constants:
        return [node]
    shape, dtype, name = node.out.shape, node.out.dtype, node.out.name
    if graph.tensors[x].shape != shape:
        return [node]
    kind = _LARGEST if graph.constants[factor].item() >= 0 else _LEAST
    peak = Tensor(f"{name}_peak", (*shape[:-1], 1), dtype)
    below, cooled = Tensor(f"{name}_below", shape, dtype), Tensor(f"{name}_scaled", shape, dtype)
    return [
        Node("Reduce", (x,), (peak,), (kind, [len(shape) - 1]), node.scope),
        Node("Subtract", (x, peak.name), (below,), (), node.scope),
        Node("Multiply", (below.name, factor), (cooled,), (), node.scope),
        replace(node, inputs=(cooled.name,)),
    ]
