"""Pooling, put together again from windows and a reduction: packages have no arrays of more than five axes for them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import numpy as np

from converters.graph import Graph, Node, Tensor
from converters.passes.match import Any, Const, Op, number, rewrite
from converters.passes.tidy import RESHAPES, drop_identities

KINDS = {2: "sum", 5: "max"}
"""MLX's numbers of the reductions that pool."""


class Windows(NamedTuple):
    """Where a pool looks: x (B, …, C), windows of ``sizes`` each ``steps`` apart, ``counts`` of them."""

    x: str
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]


def fuse_pools(graph: Graph) -> Graph:
    """The graph with nodes Pool(x), args (``max``, ``sum`` or ``mean``, sizes, steps), x (B, …, C)."""
    nodes: list[Node] = []
    for node in graph.nodes:
        reduced = graph.producers.get(node.inputs[0]) if node.op in RESHAPES else None
        found = _windows(graph, reduced) if reduced is not None and reduced.op == "Reduce" else None
        if reduced is None or found is None:
            nodes.append(node)
            continue
        first = graph.tensors[found.x].shape
        made = Tensor(f"{node.out.name}_pool", (first[0], *found.counts, first[-1]), node.out.dtype)
        args = (KINDS[reduced.args[0]], found.sizes, found.steps)
        nodes.append(Node("Pool", (found.x,), (made,), args, node.scope))
        nodes.append(Node("Reshape", (made.name,), node.outputs, (node.out.shape,), node.scope))
    graph = drop_identities(graph.with_nodes(nodes))
    return rewrite(graph, Op("Multiply", (Op("Pool", (Any("x"),), name="pool"), Const("share", rank=0))), _mean)


def _mean(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
    kind, sizes, steps = graph.producers[b["pool"]].args
    if kind != "sum" or not np.isclose(number(graph, b["share"]) * prod(sizes), 1, rtol=1e-3):
        return None
    return Node("Pool", (b["x"],), node.outputs, ("mean", sizes, steps), node.scope)


def _windows(graph: Graph, reduced: Node) -> Windows | None:
    source = graph.producers.get(reduced.inputs[0])
    kind, axes = reduced.args
    n = len(axes)
    if source is None or kind not in KINDS or not source.out.is_float or tuple(axes) != tuple(range(1 + n, 1 + 2 * n)):
        return None
    found = _strided(graph, source) if source.op == "AsStrided" else _split(graph, source)
    return found if found is not None and len(found.sizes) == n else None


def _strided(graph: Graph, node: Node) -> Windows | None:
    """Windows that overlap, or leave numbers out, are positions in a flat array."""
    shape, strides, offset = node.args
    flat = graph.producers.get(node.inputs[0])
    x = flat.inputs[0] if flat is not None and flat.op in RESHAPES else node.inputs[0]
    whole = graph.tensors[x].shape
    n = len(whole) - 2
    if offset or len(shape) != 2 * n + 2 or n < 1:
        return None
    own = [prod(whole[a + 1 :]) for a in range(n + 2)]
    counts, sizes = tuple(shape[1 : 1 + n]), tuple(shape[1 + n : 1 + 2 * n])
    steps = tuple(stride // side for stride, side in zip(strides[1 : 1 + n], own[1:-1], strict=True))
    regular = [own[0], *(s * side for s, side in zip(steps, own[1:-1], strict=True)), *own[1:-1], 1]
    inside = all((c - 1) * s + w <= side for c, s, w, side in zip(counts, steps, sizes, whole[1:-1], strict=True))
    same = (shape[0], shape[-1]) == (whole[0], whole[-1])
    return Windows(x, counts, sizes, steps) if same and inside and list(strides) == regular else None


def _split(graph: Graph, node: Node) -> Windows | None:
    """Windows side by side are a reshape, and a transpose that brings them together."""
    parts = graph.producers.get(node.inputs[0]) if node.op == "Transpose" else None
    if parts is None or parts.op not in RESHAPES:
        return None
    whole, shape = graph.tensors[parts.inputs[0]].shape, parts.out.shape
    last = len(shape) - 1
    order = [0, *range(1, last, 2), *range(2, last, 2), last]
    if len(shape) % 2 or len(shape) != 2 * len(whole) - 2 or list(node.args[0]) != order:
        return None
    counts, sizes = shape[1:last:2], shape[2:last:2]
    merged = (shape[0], *(c * s for c, s in zip(counts, sizes, strict=True)), shape[-1])
    return Windows(parts.inputs[0], counts, sizes, sizes) if merged == whole else None
