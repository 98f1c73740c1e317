"""Gathers and scatters without the axes of length 1 that MLX puts between indices and slices."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Graph, Node
from converters.passes.tidy import RESHAPES, drop_dead


def join_indexing(graph: Graph) -> Graph:
    """The graph with nodes Take(x, indices), args (axis,), and with reshapes drawn into Gather and Scatter.

    Indices and slices together may have more axes than Core ML takes; the arrays on either side seldom have.
    """
    nodes = []
    for node in graph.nodes:
        found = _take(graph, node) or _reshaped_gather(graph, node)
        if found is None and node.op == "Scatter" and len(node.args) == 2:
            found = _reshaped_scatter(graph, node)
        nodes.append(found or node)
    return drop_dead(graph.with_nodes(nodes))


def _take(graph: Graph, node: Node) -> Node | None:
    """Gather, or what leads from it by a transpose and a squeeze, as Take."""
    chain = [node]
    while chain[-1].op in {*RESHAPES, "Transpose"}:
        source = graph.producers.get(chain[-1].inputs[0])
        if source is None or len(chain) == 3:
            return None
        chain.append(source)
    gather, between = chain[-1], [n for n in chain[:-1] if n.op == "Transpose"]
    if gather.op != "Gather" or len(gather.args[0]) != 1:
        return None
    shape, (axis,), sizes = graph.tensors[gather.inputs[0]].shape, gather.args[0], gather.args[1]
    batch = graph.tensors[gather.inputs[1]].shape
    whole = tuple(sizes) == (*shape[:axis], 1, *shape[axis + 1 :])
    if not whole or node.out.shape != (*shape[:axis], *batch, *shape[axis + 1 :]):
        return None
    rank = len(batch)
    want = [*range(rank, rank + axis), *range(rank), *range(rank + axis, rank + len(shape))]
    order = list(between[0].args[0]) if between else list(range(rank + len(shape)))
    if len(between) > 1 or order != want:
        return None
    return Node("Take", gather.inputs, node.outputs, (axis,), node.scope)


def _reshaped_gather(graph: Graph, node: Node) -> Node | None:
    source = graph.producers.get(node.inputs[0]) if node.op in RESHAPES else None
    return replace(source, outputs=node.outputs) if source is not None and source.op == "Gather" else None


def _reshaped_scatter(graph: Graph, node: Node) -> Node | None:
    source = graph.producers.get(node.inputs[-1])
    if source is None or source.op not in RESHAPES:
        return None
    sizes = graph.tensors[node.inputs[-1]].shape[len(graph.tensors[node.inputs[1]].shape) :]
    return replace(node, inputs=(*node.inputs[:-1], source.inputs[0]), args=(*node.args, sizes))
