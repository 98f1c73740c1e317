"""One row picked by a constant is a slice: ``x[0]`` and ``qkv[1]`` arrive as gathers, which run nowhere as fast."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Graph, Node
from converters.passes.tidy import RESHAPES, drop_dead


def slice_constant_gathers(graph: Graph) -> Graph:
    """The graph with a Slice for each Gather of constant scalars."""
    return graph.with_nodes(_sliced(graph, node) if node.op == "Gather" else node for node in graph.nodes)


def _sliced(graph: Graph, node: Node) -> Node:
    source, *indices = node.inputs
    if any(name not in graph.constants or graph.constants[name].ndim for name in indices):
        return node
    axes, sizes = node.args
    shape = graph.tensors[source].shape
    begin = [0] * len(shape)
    for axis, name in zip(axes, indices, strict=True):
        begin[axis] = int(graph.constants[name]) % shape[axis]
    end = tuple(b + size for b, size in zip(begin, sizes, strict=True))
    return replace(node, op="Slice", inputs=(source,), args=(tuple(begin), end, (1,) * len(shape)))


def squeeze_slices(graph: Graph) -> Graph:
    """The graph with nodes Pick(x), args those of Slice and the axes of length 1 that a reshape behind it drops."""
    return drop_dead(graph.with_nodes(_picked(graph, node) for node in graph.nodes))


def _picked(graph: Graph, node: Node) -> Node:
    source = graph.producers.get(node.inputs[0]) if node.op in RESHAPES else None
    if source is None or source.op != "Slice" or not node.out.shape or min(source.args[2]) < 1:
        return node
    dropped, left = [], list(node.out.shape)
    for axis, side in enumerate(source.out.shape):
        if left and left[0] == side:
            left.pop(0)
        elif side == 1:
            dropped.append(axis)
        else:
            return node
    return node if left else Node("Pick", source.inputs, node.outputs, (*source.args, tuple(dropped)), node.scope)
