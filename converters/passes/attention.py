"""Softmax attention, put together again from two products and a softmax."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import MAX_RANK, Graph, Node
from converters.passes.match import Any, Const, Op, Pattern, number, rewrite

_Q, _K, _V, _MASK = Any("q"), Any("k"), Any("v"), Any("mask")
_KEYS = Op("Transpose", (_K,), name="keys")
_SCORES: tuple[Pattern, ...] = (
    Op("Matmul", (Op("Multiply", (_Q, Const("scale", rank=0))), _KEYS)),
    Op("Multiply", (Op("Matmul", (_Q, _KEYS)), Const("scale", rank=0))),
)
_MASKED = [
    form
    for scores in _SCORES
    for form in (scores, Op("Add", (scores, _MASK)), Op("Select", (_MASK, scores, Const("low", rank=0))))
]


def fuse_attention(graph: Graph) -> Graph:
    r"""The graph with nodes Attention(q, k, v[, mask]), args (scale,): softmax(scale q kᵀ + mask) v.

    A boolean mask is True where a key counts.
    """
    for scores in _MASKED:
        graph = rewrite(graph, Op("Matmul", (Op("Softmax", (scores,)), _V)), _attention)
    return graph


def _attention(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
    shapes = [graph.tensors[b[name]].shape for name in ("q", "k", "v")]
    rank = len(shapes[0])
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    # Grouped queries reach their keys by broadcasting, which one operation for all of it doesn't do.
    same = all(len(shape) == rank and shape[:-2] == shapes[0][:-2] for shape in shapes)
    if not 3 <= rank <= MAX_RANK or not same or list(graph.producers[b["keys"]].args[0]) != swapped:
        return None
    if "low" in b and not graph.constants[b["low"]] < -1e4:
        return None
    mask = (b["mask"],) if "mask" in b else ()
    return Node("Attention", (b["q"], b["k"], b["v"], *mask), node.outputs, (number(graph, b["scale"]),), node.scope)
