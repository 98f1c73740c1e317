"""Arrays without numbers, which Core ML doesn't have: what writes them changes nothing."""

from __future__ import annotations

from dataclasses import replace

from converters.coreml.graph import Graph
from converters.coreml.passes.tidy import drop_dead

WRITERS = {"Scatter": -1, "ScatterAxis": 2, "SliceUpdate": 1, "DynamicSliceUpdate": 1}
"""Which input is written into the first."""


def drop_empty(graph: Graph) -> Graph:
    """The graph without writing or concatenating empty arrays, wherever the result isn't empty itself."""
    new: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if node.op in WRITERS and not graph.tensors[node.inputs[WRITERS[node.op]]].size:
            new[node.out.name] = node.inputs[0]
        elif node.op == "Concatenate" and node.out.size:
            nodes.append(replace(node, inputs=tuple(name for name in node.inputs if graph.tensors[name].size)))
            continue
        nodes.append(node)
    return drop_dead(graph.with_nodes(nodes).renamed(new))
