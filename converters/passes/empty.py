"""Arrays without numbers, which a package doesn't have: what writes them changes nothing, what reads them is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.graph import Array, Graph, Node
from converters.passes.tidy import drop_dead

WRITERS = {"Scatter": -1, "ScatterAxis": 2, "SliceUpdate": 1, "DynamicSliceUpdate": 1}
"""Which input is written into the first."""


def drop_empty(graph: Graph) -> Graph:
    """The graph without writing or concatenating empty arrays, wherever the result isn't empty itself; and with a
    constant for each empty array, so that what is made of it alone is folded."""
    new: dict[str, str] = {}
    nodes: list[Node] = []
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        empty = [tensor for tensor in node.outputs if not tensor.size]
        whole = len(empty) == len(node.outputs)
        for tensor in empty:
            name = tensor.name if whole else f"{tensor.name}_empty"
            new |= {} if whole else {tensor.name: name}
            constants[name] = np.zeros(tensor.shape, np.float32 if tensor.is_float else tensor.dtype)
        if whole:
            continue
        if node.op in WRITERS and not graph.tensors[node.inputs[WRITERS[node.op]]].size:
            new[node.out.name] = node.inputs[0]
        elif node.op == "Concatenate" and node.out.size:
            nodes.append(replace(node, inputs=tuple(name for name in node.inputs if graph.tensors[name].size)))
            continue
        nodes.append(node)
    return drop_dead(graph.with_nodes(nodes, constants).renamed(new))
