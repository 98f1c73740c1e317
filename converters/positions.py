"""Whole numbers on their way through floats: above 2,048 float16 holds every second one only, and the sine of position
4,097 would be that of 4,096."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import INTEGERS, Graph, Node
from converters.ranges import Range

HALF_WHOLE = 2048
"""The largest number up to which float16 holds every whole one."""
_KEEPS_RATIO = {
    *("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims", "Transpose", "Broadcast", "Slice", "Pick", "Split"),
    *("Concatenate", "Select", "Gather", "Take", "GatherAxis", "AsType", "Full", "Pad", "Reduce", "Negative", "Abs"),
    *("Multiply", "Divide", "Square", "Sqrt", "Maximum", "Minimum"),
}
"""What an error of one part in 2,048 stays that in; a function of it, or a difference, may be another altogether."""


def counted(graph: Graph, found: Mapping[str, Range]) -> set[str]:
    """The tensors that must be float32 in a package of half precision.

    They are computed from whole numbers beyond ±2,048 and constants alone (positions, ids, times), and lead to an
    output, or to what is sensitive to a small part of them: a sine, a comparison, a difference of two.
    """
    alone: set[str] = set()
    reads: dict[str, list[str]] = {}
    for node in graph.nodes:
        floats = [name for name in node.inputs if name not in graph.constants and graph.tensors[name].is_float]
        if floats and all(name in alone for name in floats):
            reads[node.out.name] = floats
        if _enters(graph, node, found) or (node.out.name in reads and node.out.is_float):
            alone |= {t.name for t in node.outputs}
    needed = {name for name in graph.outputs.values() if name in alone}
    for node in reversed(graph.nodes):
        # What mixes them with other numbers (a mask with scores) rounds them like those.
        read = reads.get(node.out.name, [])
        if read and (any(t.name in needed for t in node.outputs) or _is_sensitive(node, read)):
            needed |= {*read, *(t.name for t in node.outputs)}
    return needed


def _enters(graph: Graph, node: Node, found: Mapping[str, Range]) -> bool:
    """Whether a node makes floats of whole numbers that may be large."""
    if not node.out.is_float:
        return False
    if node.op == "Arange":
        low, high = sorted(node.args[:2])
    elif node.op == "AsType" and graph.tensors[node.inputs[0]].dtype in INTEGERS:
        low, high = found[node.inputs[0]]
    else:
        return False
    return bool(low < -HALF_WHOLE or high > HALF_WHOLE)


def _is_sensitive(node: Node, read: list[str]) -> bool:
    if node.op in ("Add", "Subtract"):
        return len(read) > 1
    return node.op not in _KEEPS_RATIO or not node.out.is_float
