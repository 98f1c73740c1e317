"""GELU in its three forms, SiLU and ReLU, put together again."""

from __future__ import annotations

import math
from collections.abc import Mapping

from converters.graph import Graph, Node
from converters.passes.match import Any, Build, Const, Op, Pattern, rewrite

X = Any("x")
ONE, TWO, HALF = Const("one", 1.0), Const("two", 2.0), Const("half", 0.5)


def _erf(inner: Pattern) -> Op:
    return Op("Add", (Op("Erf", (inner,)), ONE))


_INNER = (Op("Divide", (X, Const("root", math.sqrt(2)))), Op("Multiply", (X, Const("root", math.sqrt(0.5)))))
_EXACT = [
    form
    for inner in _INNER
    for form in (
        Op("Divide", (Op("Multiply", (X, _erf(inner))), TWO)),
        Op("Multiply", (Op("Multiply", (X, _erf(inner))), HALF)),
        Op("Multiply", (Op("Multiply", (X, HALF)), _erf(inner))),
    )
]
_CUBE = (
    Op("Multiply", (Op("Power", (X, Const("three", 3.0))), Const("c", 0.044715))),
    Op("Multiply", (Op("Multiply", (Op("Multiply", (X, X)), X)), Const("c", 0.044715))),
)
_TANH = [
    Op(
        "Multiply",
        (
            Op("Multiply", (X, HALF)),
            Op("Add", (Op("Tanh", (Op("Multiply", (Op("Add", (X, cube)), Const("s", math.sqrt(2 / math.pi)))),)), ONE)),
        ),
    )
    for cube in _CUBE
]
_FAST = [Op("Multiply", (X, Op("Sigmoid", (Op("Multiply", (X, Const("k", 1.702))),))))]
_PLAIN = {"SiLU": Op("Multiply", (X, Op("Sigmoid", (X,)))), "ReLU": Op("Maximum", (X, Const("zero", 0.0, rank=0)))}

FORMS = {"EXACT": _EXACT, "TANH_APPROXIMATION": _TANH, "SIGMOID_APPROXIMATION": _FAST}


def fuse_activations(graph: Graph) -> Graph:
    """The graph with nodes GELU(x), its form as argument, SiLU(x) and, of floats, ReLU(x)."""
    for mode, patterns in FORMS.items():
        for pattern in patterns:
            graph = rewrite(graph, pattern, _unary("GELU", mode))
    for op, pattern in _PLAIN.items():
        graph = rewrite(graph, pattern, _unary(op))
    return graph


def _unary(op: str, *args: object) -> Build:
    def build(graph: Graph, node: Node, b: Mapping[str, str]) -> Node | None:
        return Node(op, (b["x"],), node.outputs, args, node.scope) if node.out.is_float else None

    return build
