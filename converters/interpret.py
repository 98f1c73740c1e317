"""A graph evaluated in MLX, node by node: the source's own value of every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import mlx.core as mx

from converters.graph import Graph, Node
from converters.primitives import PRIMITIVES


def interpret(graph: Graph, inputs: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Every tensor of the graph by name, computed by MLX on its CPU."""
    values = dict(inputs) | {name: mx.array(array) for name, array in graph.constants.items()}
    with mx.stream(mx.cpu):
        for node in graph.nodes:
            for tensor, array in zip(
                node.outputs, evaluate(node, *(values[name] for name in node.inputs)), strict=True
            ):
                values[tensor.name] = array
    return values


def evaluate(node: Node, *arrays: mx.array) -> Iterator[mx.array]:
    """What MLX makes of a node's inputs, in the dtypes that the graph names."""
    made = PRIMITIVES[node.op].reference(node, *arrays)
    for tensor, array in zip(node.outputs, made if isinstance(made, list | tuple) else [made], strict=True):
        assert array.shape == tensor.shape, f"{node.op} gives {tensor.name} of shape {array.shape}, not {tensor.shape}"
        yield array.astype(getattr(mx, {"bool": "bool_"}.get(tensor.dtype, tensor.dtype)))
