"""Constant folding: what doesn't depend on the inputs is computed once, by MLX."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from converters.capture import as_numpy
from converters.graph import Array, Graph, Node
from converters.interpret import evaluate
from converters.primitives import PRIMITIVES

FREE = 1 << 20
"""Numbers that a folded constant may have, whatever it is made from."""
GROWTH = 16
"""Above that, how much larger than its sources it may be: unpacked 4-bit weights are, a broadcast scalar is not worth
its bytes."""


def fold_constants(graph: Graph) -> Graph:
    """The graph with nodes over constants alone replaced by what they compute, in float32 where MLX has fewer bits: a
    package is held to that."""
    constants: dict[str, Array] = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        if not _foldable(node, constants):
            nodes.append(node)
            continue
        arrays = evaluate(node.widened(), *(_held(constants[name]) for name in node.inputs))
        for tensor, array in zip(node.outputs, arrays, strict=True):
            constants[tensor.name] = as_numpy(array)
    return graph.with_nodes(nodes, constants)


def _held(array: Array) -> mx.array:
    """A constant in MLX. Of an empty one that comes from NumPy, MLX 0.32 says that not all of its booleans are true."""
    made = mx.array(array.astype(np.float32) if array.dtype == np.float16 else array)
    return made if array.size else mx.zeros(array.shape, made.dtype)


def _foldable(node: Node, constants: dict[str, Array]) -> bool:
    if node.op not in PRIMITIVES or not all(name in constants for name in node.inputs):
        return False
    made = sum(t.size for t in node.outputs)
    return made <= max(FREE, GROWTH * sum(constants[name].size for name in node.inputs))
