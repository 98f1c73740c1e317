"""How large whole numbers may get.

Core ML computes in int32. MLX's uint32 and 64-bit numbers have the same low bits through sums, products and moves, but
what orders, divides or widens them tells other numbers apart: such an operation converts where all that it may read
fits int32, and else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from converters.errors import ConversionError
from converters.graph import INTEGERS, Graph, Node, Tensor

Range = tuple[int, int]
"""The least and the greatest number that a tensor may hold."""

HELD: Range = (-(2**31), 2**31 - 1)
# What gives other numbers for the same low bits. Where it reads narrower integers, it is right.
_ORDERS = ("Greater", "GreaterEqual", "Less", "LessEqual", "Maximum", "Minimum", "Sort", "ArgSort", "Partition")
SENSITIVE = {
    *_ORDERS,
    *("ArgPartition", "ArgReduce", "SearchSorted", "FloorDivide", "Divide", "Remainder", "DivMod", "Abs", "Sign"),
}
_MOVES = {
    *("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims", "Transpose", "Broadcast", "Slice", "Pick", "Split"),
    *("AsStrided", "Depends", "Full", "Gather", "Take", "GatherAxis", "DynamicSlice", "Sort", "Partition"),
}
"""What holds numbers of its first input alone."""
_JOINS = {"Concatenate": 0, "Select": 1, "Pad": 0, "MaskedScatter": 0, "DynamicSliceUpdate": 0}
"""What holds numbers of several inputs, and the first of these."""
_PLACES = {"ArgReduce", "ArgSort", "ArgPartition", "SearchSorted"}
_BINARY = 2
_MAX, _MIN, _SUM = "max", "min", "sum"
_REDUCES = {2: _SUM, 4: _MIN, 5: _MAX}
_SCANS = {0: _MAX, 1: _MIN, 2: _SUM}
_RIGHT = 4
_WRITTEN_EXTREMES = 2
"""MLX's numbers below this are those of a maximum and a minimum with what is there."""


def full(dtype: str) -> Range:
    """All numbers of a dtype."""
    if dtype == "bool":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def ranges(graph: Graph) -> dict[str, Range]:
    """What each tensor of whole numbers may hold, by name. Inputs of 64 bits enter as int32."""
    found: dict[str, Range] = {}
    for tensor in graph.inputs:
        if tensor.dtype in (*INTEGERS, "bool"):
            low, high = full(tensor.dtype)
            found[tensor.name] = (max(low, HELD[0]), min(high, HELD[1])) if tensor.dtype.endswith("64") else (low, high)
    for name, array in graph.constants.items():
        if array.dtype.kind in "iub":
            found[name] = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for node in graph.nodes:
        for tensor in node.outputs:
            if tensor.dtype in (*INTEGERS, "bool"):
                found[tensor.name] = _of(node, tensor, found, graph)
    return found


def _of(node: Node, tensor: Tensor, found: Mapping[str, Range], graph: Graph) -> Range:
    everything = full(tensor.dtype)
    if node.op == "AsType" and tensor.dtype.endswith("64") and graph.tensors[node.inputs[0]].is_float:
        return max(everything[0], HELD[0]), HELD[1]  # floats beyond int32 saturate
    made = _computed(node, [found.get(name) for name in node.inputs], [graph.tensors[name] for name in node.inputs])
    if made is None or made[0] < everything[0] or made[1] > everything[1]:
        return everything  # nothing is known, or it wraps
    return made


def _computed(node: Node, read: Sequence[Range | None], sources: Sequence[Tensor]) -> Range | None:
    found: Range | None = None
    if node.op == "Arange":
        found = _hull([int(node.args[0]), int(node.args[1])])
    elif node.op in _PLACES:
        found = 0, sources[0].size
    elif node.op in _MOVES or node.op == "AsType":
        found = read[0]
    elif node.op in _JOINS:
        found = _union(read[_JOINS[node.op] :])
    elif node.op in _ARITHMETIC and (known := [one for one in read if one is not None]) and len(known) == _BINARY:
        found = _ARITHMETIC[node.op](*known)
    elif node.op in ("Reduce", "Scan") and read[0] is not None:
        found = _along(node, read[0], sources[0].size)
    return found


def _along(node: Node, read: Range, size: int) -> Range | None:
    """Of what gathers numbers along an axis, at most ``size`` of them."""
    kind = {"Reduce": _REDUCES, "Scan": _SCANS}[node.op].get(node.args[0])
    if kind == _SUM:
        return _hull([bound * count for bound in read for count in (0, 1, size)])
    # A scan that leaves out the number itself starts with one of its own.
    return read if kind and (node.op == "Reduce" or node.args[3]) else None


def _union(parts: Sequence[Range | None]) -> Range | None:
    known = [part for part in parts if part is not None]
    return _hull([bound for part in known for bound in part]) if len(known) == len(parts) else None


def _hull(bounds: Sequence[int]) -> Range:
    return min(bounds), max(bounds)


def _multiplied(a: Range, b: Range) -> Range:
    return _hull([x * y for x in a for y in b])


def _divided(a: Range, b: Range) -> Range | None:
    return _hull([x // y for x in a for y in b]) if b[0] > 0 else None


def _rest(a: Range, b: Range) -> Range | None:
    return (0, b[1] - 1) if b[0] > 0 else None


_ARITHMETIC: Mapping[str, Callable[[Range, Range], Range | None]] = {
    "Add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "Subtract": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "Multiply": _multiplied,
    "Maximum": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "Minimum": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "FloorDivide": _divided,
    "Remainder": _rest,
    "Equal": lambda a, b: (0, 1),
}


def fits(found: Range | None) -> bool:
    """Whether int32 holds all of a range."""
    return found is None or (HELD[0] <= found[0] and found[1] <= HELD[1])


def check_ranges(graph: Graph) -> Graph:
    """The graph, or a refusal of what would tell other numbers than MLX.

    Raises:
        ConversionError: operations that order, divide or widen numbers which may lie beyond int32; outputs of 64 bits
            that may. All are listed.
    """
    found = ranges(graph)
    faults = []
    for node in graph.nodes:
        wide = [graph.tensors[name] for name in node.inputs if not fits(found.get(name))]
        if wide and _sensitive(node, wide[0]):
            low, high = found[wide[0].name]
            where = f" in {node.scope}" if node.scope else ""
            faults.append(f"{node.op}{where} reads {wide[0].dtype} from {low:,} to {high:,}")
    for public, name in graph.outputs.items():
        if graph.tensors[name].dtype.endswith("64") and not fits(found.get(name)):
            low, high = found[name]
            faults.append(f"output {public} is {graph.tensors[name].dtype} from {low:,} to {high:,}")
    if faults:
        raise ConversionError(
            f"whole numbers may lie beyond int32, which is all that Core ML has: {'; '.join(dict.fromkeys(faults))}. "
            "Where they can't, say so: astype(mx.int32) before that"
        )
    return graph


def _sensitive(node: Node, source: Tensor) -> bool:
    if node.op in SENSITIVE:
        return True
    if node.op == "Reduce":
        return _REDUCES.get(node.args[0]) in (_MIN, _MAX)
    if node.op == "Scan":
        return _SCANS.get(node.args[0]) in (_MIN, _MAX)
    if node.op in ("Scatter", "SliceUpdate"):
        return bool(node.args[0] < _WRITTEN_EXTREMES)
    # Of 32 bits nothing is lost; of 64 the upper half is.
    lost = node.op in ("Equal", "NotEqual") or (node.op == "BitwiseBinary" and node.args[0] == _RIGHT)
    lost = lost or (node.op == "AsType" and node.out.dtype not in INTEGERS)
    return lost and source.dtype.endswith("64")


def unsigned_outputs(graph: Graph) -> list[str]:
    """The outputs whose int32 is to be read as the uint32 of the same bits."""
    found = ranges(graph)
    outputs = ((public, graph.tensors[name]) for public, name in graph.outputs.items())
    return [public for public, tensor in outputs if tensor.dtype == "uint32" and not fits(found.get(tensor.name))]
