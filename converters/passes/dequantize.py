"""Rows picked from a quantised table: the table is dequantised at conversion, and its own rows are picked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import mlx.core as mx
import numpy as np

from converters.graph import Array, Graph, Node
from converters.interpret import evaluate
from converters.passes.tidy import drop_dead

BITS = (2, 3, 4, 5, 6, 8)
MODES = {"affine": 3, "mxfp4": 2}
"""How many parts a quantised table has: numbers, scales and, for one, biases; MLX can't export its other modes."""
_WITHIN = 60
"""Nodes that unpacking takes; 8 numbers in a word are shifted out one by one."""


def dequantise_tables(graph: Graph) -> Graph:
    """The graph with Take(table, indices) in place of the packed rows and what unpacks them.

    What unpacks them is recognised by what it computes: some rows, drawn at random, must be those of
    ``mx.dequantize`` over the whole table.
    """
    new: dict[str, Node] = {}
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        if not _picks_rows(graph, node) or graph.constants[node.inputs[0]].dtype != np.uint32:
            continue
        for root, parts in _candidates(graph, node):
            table = _dequantised(graph, node, root, parts)
            if table is not None:
                name = f"{root.out.name}_table"
                constants[name] = table
                new[root.out.name] = Node("Take", (name, node.inputs[1]), root.outputs, (0,), root.scope)
                break
    if not new:
        return graph
    return drop_dead(graph.with_nodes([new.get(node.out.name, node) for node in graph.nodes], constants))


def _candidates(graph: Graph, packed: Node) -> Iterator[tuple[Node, list[Node]]]:
    """Nodes that depend on this take, on others at the same indices, and on constants; with those takes."""
    takes: list[Node] = []
    region: dict[str, Node] = {}
    start = graph.nodes.index(packed)
    shape = graph.tensors[packed.inputs[1]].shape
    for node in _takes(graph, packed):
        region[node.out.name] = node
        takes.append(node)
    for node in graph.nodes[max(start - _WITHIN, 0) : start + _WITHIN]:
        if node.out.name in region or not node.inputs or len(node.outputs) > 1:
            continue
        if all(name in region or name in graph.constants for name in node.inputs):
            region[node.out.name] = node
            if node.out.is_float and len(node.out.shape) == len(shape) + 1:
                used = _reached(region, node)
                if packed in used:
                    yield node, [packed, *(take for take in takes if take in used and take is not packed)]


def _takes(graph: Graph, packed: Node) -> list[Node]:
    same = graph.consumers[packed.inputs[1]]
    return [node for node in same if _picks_rows(graph, node) and node.inputs[1:] == packed.inputs[1:]]


def _picks_rows(graph: Graph, node: Node) -> bool:
    """Whether a node picks rows of a constant table at indices that are computed."""
    if len(node.inputs) != 2 or node.inputs[0] not in graph.constants or node.inputs[1] in graph.constants:
        return False
    rows = (1, *graph.constants[node.inputs[0]].shape[1:])
    return (node.op == "Take" and node.args == (0,)) or (
        node.op == "Gather" and list(node.args[0]) == [0] and tuple(node.args[1]) == rows
    )


def _reached(region: Mapping[str, Node], root: Node) -> list[Node]:
    """The region's nodes that lead to ``root``, it among them, in order."""
    needed = {root.out.name}
    kept = []
    for name, node in reversed(list(region.items())):
        if name in needed:
            kept.append(node)
            needed |= set(node.inputs)
    return kept[::-1]


def _dequantised(graph: Graph, packed: Node, root: Node, takes: list[Node]) -> Array | None:
    tables = [graph.constants[take.inputs[0]] for take in takes]
    width = root.out.shape[-1]
    bits, rest = divmod(32 * tables[0].shape[-1], width)
    # The scales come before the biases, or behind: both orders are tried.
    scales = [t for t in tables[1:] if t.ndim == 2 and width % t.shape[-1] == 0]
    if rest or bits not in BITS or len(scales) != len(tables) - 1:
        return None
    dtype = getattr(mx, root.out.dtype)
    for mode, count in MODES.items():
        for parts in (scales, scales[::-1]) if len(tables) == count else ():
            table = _table(tables[0], parts, width // parts[0].shape[-1], bits, mode, dtype)
            if table is not None and _same_rows(graph, packed, root, takes, table):
                return np.array(table.astype(mx.float32) if table.dtype == mx.bfloat16 else table)
    return None


def _table(packed: Array, parts: list[Array], group: int, bits: int, mode: str, dtype: mx.Dtype) -> mx.array | None:
    arrays = [mx.array(p).astype(dtype) if p.dtype.kind == "f" else mx.array(p) for p in parts]
    try:
        biases = arrays[1] if len(arrays) > 1 else None
        table = mx.dequantize(mx.array(packed), arrays[0], biases, group, bits, mode, dtype=dtype)
        mx.eval(table)
    except ValueError:
        # Sizes that this mode doesn't have.
        return None
    return table


def _same_rows(graph: Graph, packed: Node, root: Node, takes: list[Node], table: mx.array) -> bool:
    region = {take.out.name: take for take in takes}
    start = graph.nodes.index(packed)
    for node in graph.nodes[max(start - _WITHIN, 0) : start + _WITHIN]:
        if node.inputs and all(name in region or name in graph.constants for name in node.inputs):
            region[node.out.name] = node
    rng = np.random.default_rng(0)
    shape = graph.tensors[packed.inputs[1]].shape
    for _ in range(2):
        indices = mx.array(rng.integers(0, table.shape[0], shape).astype(np.int32))
        values = {packed.inputs[1]: indices}
        for node in _reached(region, root):
            read = [values[n] if n in values else mx.array(graph.constants[n]) for n in node.inputs]
            values[node.out.name] = next(evaluate(node, *read))
        if not mx.allclose(values[root.out.name], table[indices], rtol=1e-2 if table.itemsize < 4 else 1e-5, atol=1e-6):
            return False
    return True
