"""Patterns of nodes: what a fused op looks like once MLX has taken it apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from converters.graph import Graph, Node
from converters.passes.tidy import drop_dead

COMMUTATIVE = {"Add", "Multiply", "Maximum", "Minimum"}
Bindings = dict[str, str]


@dataclass(frozen=True)
class Any:
    """Any tensor; the same name binds the same tensor everywhere in a pattern."""

    name: str


@dataclass(frozen=True)
class Const:
    """A constant: of one number near ``value`` where that is given, of rank at most ``rank`` where that is."""

    name: str
    value: float | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Op:
    """A node of primitive ``op`` over ``inputs``; ``name`` binds its output, ``args`` must be the node's."""

    op: str
    inputs: tuple[Pattern, ...]
    args: tuple[object, ...] | None = None
    name: str = ""


Pattern = Any | Const | Op


def match(graph: Graph, pattern: Pattern, tensor: str, bound: Bindings) -> Iterator[Bindings]:
    """Every way in which ``tensor`` is what ``pattern`` says, as names → tensors."""
    if isinstance(pattern, Op):
        node = graph.producers.get(tensor)
        if node is None or node.op != pattern.op or len(node.inputs) != len(pattern.inputs):
            return
        if pattern.args is not None and _plain(node.args) != _plain(pattern.args):
            return
        if pattern.name:
            bound = bound | {pattern.name: tensor}
        for inputs in permutations(node.inputs) if node.op in COMMUTATIVE else [node.inputs]:
            yield from _match_all(graph, pattern.inputs, inputs, bound)
        return
    if isinstance(pattern, Const) and not _is_constant(graph, tensor, pattern):
        return
    if bound.get(pattern.name, tensor) == tensor:
        yield bound | {pattern.name: tensor}


def _match_all(
    graph: Graph, patterns: tuple[Pattern, ...], tensors: tuple[str, ...], bound: Bindings
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for now in match(graph, patterns[0], tensors[0], bound):
        yield from _match_all(graph, patterns[1:], tensors[1:], now)


def _is_constant(graph: Graph, tensor: str, pattern: Const) -> bool:
    array = graph.constants.get(tensor)
    if array is None or (pattern.rank is not None and array.ndim > pattern.rank):
        return False
    # float16 models hold these numbers to 11 bits. Without atol: 1e-12 is not 0.
    return pattern.value is None or (
        array.size == 1 and bool(np.isclose(array.item(), pattern.value, rtol=5e-4, atol=0))
    )


def _plain(args: object) -> object:
    return tuple(map(_plain, args)) if isinstance(args, list | tuple) else args


Build = Callable[[Graph, Node, Mapping[str, str]], Node | None]


def rewrite(graph: Graph, pattern: Pattern, build: Build) -> Graph:
    """The graph with ``build(graph, root, bindings)`` in place of each root of the pattern, where it gives a node."""
    nodes = []
    for node in graph.nodes:
        ways = match(graph, pattern, node.out.name, {}) if len(node.outputs) == 1 else iter(())
        fused = next((new for way in ways if (new := build(graph, node, way)) is not None), node)
        nodes.append(fused)
    return drop_dead(graph.with_nodes(nodes))


def number(graph: Graph, name: str) -> float:
    """The one number that a constant holds."""
    return float(graph.constants[name].item())
