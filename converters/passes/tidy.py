"""Nodes that nothing needs, that change nothing, or that stand twice."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Graph, Node

TRANSPARENT = {"StopGradient", "Copy", "Contiguous", "Depends"}
RESHAPES = {"Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims"}


def drop_dead(graph: Graph) -> Graph:
    """Without the nodes and constants that no output needs."""
    needed = set(graph.outputs.values())
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(t.name in needed for t in node.outputs):
            kept.append(node)
            needed |= set(node.inputs)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def drop_identities(graph: Graph) -> Graph:
    """Without nodes that hand on what they get, and with one reshape where several follow each other."""
    new: dict[str, str] = {}
    for node in graph.nodes:
        if node.inputs and _identity(graph, node):
            new |= {t.name: name for t, name in zip(node.outputs, node.inputs, strict=False)}
    graph = graph.renamed(new)
    return drop_dead(graph.with_nodes(_reshaped_once(graph, node) for node in graph.nodes))


def _reshaped_once(graph: Graph, node: Node) -> Node:
    source = graph.producers.get(node.inputs[0]) if node.op in RESHAPES else None
    if source is None or source.op not in RESHAPES:
        return node
    first = _reshaped_once(graph, source)
    return replace(node, op="Reshape", inputs=first.inputs, args=(node.out.shape,))


def _identity(graph: Graph, node: Node) -> bool:
    source = graph.tensors[node.inputs[0]]
    if node.op in TRANSPARENT:
        return True
    if node.op == "AsType":
        # Core ML has one float and one integer type inside a program; widths are its own affair.
        return source.dtype == node.out.dtype or (source.is_float and node.out.is_float)
    if node.op == "Transpose":
        return list(node.args[0]) == sorted(node.args[0])
    return node.op in {*RESHAPES, "Broadcast", "Full", "Slice"} and source.shape == node.out.shape and _forwards(node)


def _forwards(node: Node) -> bool:
    return node.op != "Slice" or all(s > 0 for s in node.args[2])


def name_outputs(graph: Graph) -> Graph:
    """The graph with the public names on what makes the outputs, where one tensor can bear each.

    Not on inputs, on constants, nor on what changes type or rank at a package's edge.
    """
    new: dict[str, str] = {}
    for public, name in graph.outputs.items():
        tensor = graph.tensors[name]
        plain = name in graph.producers and tensor.shape and tensor.dtype not in ("bool", "complex64")
        if plain and name not in new and public not in graph.tensors:
            new[name] = public
    return graph.named(new)


def merge_equal(graph: Graph) -> Graph:
    """With one node where several compute the same from the same."""
    new: dict[str, str] = {}
    seen: dict[tuple[object, ...], Node] = {}
    for node in graph.nodes:
        inputs = tuple(new.get(name, name) for name in node.inputs)
        key = (node.op, inputs, repr(node.args), tuple((t.shape, t.dtype) for t in node.outputs))
        if first := seen.get(key):
            new |= {t.name: kept.name for t, kept in zip(node.outputs, first.outputs, strict=True)}
        else:
            seen[key] = node
    return drop_dead(graph.renamed(new))
