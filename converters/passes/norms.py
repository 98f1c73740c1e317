"""Layer norm, RMS norm and the length of vectors, put together again from sums, squares and roots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.graph import Graph, Node
from converters.passes.match import Any, Build, Const, Op, Pattern, number, rewrite

SUM = 2
X, EPS, SHARE = Any("x"), Const("eps"), Const("share")


def _mean(of: Pattern, name: str) -> Op:
    return Op("Multiply", (Op("Reduce", (of,), name=name), SHARE))


_CENTRED = Op("Subtract", (X, _mean(X, "sum")), name="centred")
_LAYER = Op(
    "Multiply",
    (_CENTRED, Op("Sqrt", (Op("Add", (_mean(Op("Square", (_CENTRED,)), "squares"), EPS)),), args=(True,))),
)
_RMS = Op("Multiply", (X, Op("Sqrt", (Op("Add", (_mean(Op("Square", (X,)), "squares"), EPS)),), args=(True,))))
_LENGTH = Op("Sqrt", (Op("Reduce", (Op("Square", (X,)),), name="sum"),), args=(False,))
_SCALED = {name: Op("Multiply", (Op(name, (X,), name="norm"), Const("weight"))) for name in ("LayerNorm", "RMSNorm")}
_SHIFTED = Op("Add", (Op("LayerNorm", (X, Const("weight")), name="norm"), Const("bias")))


def fuse_norms(graph: Graph) -> Graph:
    """The graph with nodes LayerNorm(x[, weight[, bias]]) and RMSNorm(x[, weight]), args (axes, eps), and Length(x),
    args (axes,)."""
    graph = rewrite(_squares(graph), _LENGTH, _length)
    graph = rewrite(graph, _LAYER, _norm("LayerNorm"))
    graph = rewrite(graph, _RMS, _norm("RMSNorm"))
    for pattern in _SCALED.values():
        graph = rewrite(graph, pattern, _with("weight"))
    return rewrite(graph, _SHIFTED, _with("bias"))


def _squares(graph: Graph) -> Graph:
    """Square(x) for x · x where it is only summed."""

    def is_square(node: Node) -> bool:
        summed = {reader.op for reader in graph.consumers.get(node.out.name, [])} == {"Reduce"}
        return summed and node.op == "Multiply" and node.inputs[0] == node.inputs[1]

    return graph.with_nodes(replace(n, op="Square", inputs=n.inputs[:1]) if is_square(n) else n for n in graph.nodes)


def _norm(op: str) -> Build:
    def build(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
        shape = graph.tensors[b["x"]].shape
        sums = [graph.producers[b[name]] for name in ("sum", "squares") if name in b]
        axes = tuple(sums[0].args[1])
        count = np.prod([shape[a] for a in axes])
        eps = graph.constants[b["eps"]]
        if any(s.args[0] != SUM or tuple(s.args[1]) != axes for s in sums) or eps.size != 1:
            return None
        if graph.constants[b["share"]].size != 1 or not np.isclose(
            number(graph, b["share"]) * count, 1, rtol=_share(node)
        ):
            return None
        return Node(op, (b["x"],), node.outputs, (axes, float(eps.item())), node.scope)

    return build


def _share(node: Node) -> float:
    """How far 1/n may be from itself: bfloat16 has 8 bits of it."""
    return 4e-3 if node.out.dtype == "bfloat16" else 1e-3


def _length(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
    kind, axes = graph.producers[b["sum"]].args
    return Node("Length", (b["x"],), node.outputs, (tuple(axes),), node.scope) if kind == SUM else None


def _with(name: str) -> Build:
    def build(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
        norm, array = graph.producers[b["norm"]], graph.constants[b[name]]
        axes, shape = norm.args[0], node.out.shape
        trailing = tuple(range(len(shape) - len(axes), len(shape)))
        # MIL's scale and shift have the normalised axes' shape alone.
        if tuple(axes) != trailing or array.shape != tuple(shape[a] for a in axes):
            return None
        return replace(norm, inputs=(*norm.inputs, b[name]), outputs=node.outputs, scope=node.scope)

    return build
