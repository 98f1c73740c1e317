"""A graph as it is computed in half precision: constants within its range, scores less their largest, masks finite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.graph import Array, Graph, Node
from converters.passes.softmax import subtract_first

HALF_MAX = 65504.0
_SCORED = {"Softmax", "LogSumExp"}
_ATTENTION_MASK = 3
_TO_SCORES = {
    *("Add", "Select", "Reshape", "Broadcast", "Transpose", "ExpandDims", "Squeeze", "Slice", "Pick", "Concatenate"),
}
"""What leads a mask there."""
_SCALES = {
    *("Multiply", "Divide", "FloorDivide", "Remainder"),
    *("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"),
}
"""What makes nothing too large for float16 of a constant that is."""
HALF_MASK = -3e4
"""What −inf becomes in float16: low enough that its exp is 0, high enough that a score added to it stays finite."""


def halved(graph: Graph) -> Graph:
    """The graph as it is computed in half precision."""
    return finite(subtract_first(graph))


def finite(graph: Graph) -> Graph:
    """Constants within float16: a mask of −inf or −1e9 would overflow, and −inf less −inf is NaN.

    An infinity stays one where it isn't a mask: something may ask for it (``isinf``), or be left with it (a minimum).
    """
    constants = {
        n: _finite(array, keep=not masks(graph, n)) for n, array in graph.constants.items() if _joins(graph, n)
    }
    constants = {**graph.constants, **constants}
    return replace(graph, constants=constants)


def _finite(array: Array, keep: bool) -> Array:
    if array.dtype.kind != "f" or (np.abs(array) <= HALF_MAX).all():
        return array
    cut = np.where(array < -HALF_MAX, np.float32(HALF_MASK), np.minimum(array, np.float32(HALF_MAX)))
    return np.where(np.isinf(array) & keep, array, cut).astype(np.float32)


def _joins(graph: Graph, name: str) -> bool:
    """Whether a constant becomes part of other numbers, or of a mask. One that they are compared with, or scaled by,
    stays as it is: coremltools leaves an operation in float32 that reads a constant beyond float16."""
    readers = graph.consumers.get(name, [])
    return name in graph.outputs.values() or any(n.op not in _SCALES or masks(graph, n.out.name) for n in readers)


def masks(graph: Graph, name: str, added: bool = False) -> bool:
    """Whether a tensor is added to scores, or chosen among them, and nothing else."""
    readers = graph.consumers.get(name, [])
    return bool(readers) and name not in graph.outputs.values() and all(_masks(graph, n, name, added) for n in readers)


def _masks(graph: Graph, node: Node, name: str, added: bool) -> bool:
    if node.op == "Attention":
        return name in node.inputs[_ATTENTION_MASK:]
    if node.op in _SCORED:
        return added
    return node.op in _TO_SCORES and masks(graph, node.out.name, added or node.op in ("Add", "Select"))


def within(marks: Sequence[str], modules: Sequence[str]) -> bool:
    """Whether one of the paths is one of the modules, or lies inside it."""
    return any(f"{mark}.".startswith(f"{module}.") for mark in marks for module in modules)
