"""Functions as graphs, and graphs put together by hand, through a pass and held to what MLX itself computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np

from converters.capture import capture, named_outputs
from converters.graph import Graph, Node, Tensor
from converters.interpret import interpret
from converters.passes import run_passes
from tests.tolerances import close


def normal(*shape: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def passed(fn: Callable[..., Any], *arrays: mx.array, by: Callable[[Graph], Graph] = run_passes) -> Graph:
    """The function's graph behind the pass, or all of them; its outputs must be what the function gives."""
    example = {chr(ord("a") + n): array for n, array in enumerate(arrays)}
    graph = by(capture(lambda **given: fn(*given.values()), example)).check("the pass")
    values = interpret(graph, example)
    for name, array in named_outputs(fn(*arrays)).items():
        close(values[graph.outputs[name]].astype(array.dtype), array, "sum_order")
    return graph


def ops(fn: Callable[..., Any], *arrays: mx.array, by: Callable[[Graph], Graph] = run_passes) -> dict[str, int]:
    """How often each primitive is left, values held as in :func:`passed`."""
    return dict(passed(fn, *arrays, by=by).counts())


def chain(shape: tuple[int, ...], *nodes: tuple[str, tuple[int, ...], tuple[Any, ...]]) -> Graph:
    """x through one node after the other: (primitive, shape of its output, arguments)."""
    made, name = [], "x"
    for n, (op, sides, args) in enumerate(nodes):
        made.append(Node(op, (name,), (Tensor(f"t{n}", sides, "float32"),), args))
        name = f"t{n}"
    return Graph((Tensor("x", shape, "float32"),), {"output": name}, {}, tuple(made)).check("writing it down")


def kept(graph: Graph, by: Callable[[Graph], Graph], x: mx.array) -> Graph:
    """A graph written down, behind a pass that must keep its output."""
    after = by(graph).check("the pass")
    want = interpret(graph, {"x": x})[graph.outputs["output"]]
    close(interpret(after, {"x": x})[after.outputs["output"]], want, "exact")
    return after
