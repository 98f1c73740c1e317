"""What leaves MLX: names, modules, dtypes, and clear words for what can't leave."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import nullcontext

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from converters.backend import check_supported
from converters.capture import capture
from converters.coreml import ConversionError, UnsupportedOpsError
from converters.coreml.ops import OPS
from converters.coreml.toolkit import quiet
from converters.graph import Graph, Node, Tensor
from converters.interpret import interpret
from tests.tolerances import close


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.norm = nn.LayerNorm(4)

    def __call__(self, x):
        return self.norm(x + self.down(nn.relu(self.up(x))))


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [Block(), Block()]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.fixture
def stack():
    model = Stack()
    mx.eval(model.parameters())
    return model


X = {"x": mx.ones((2, 4))}


def test_inputs_keep_their_order_and_names():
    example = {"zeta": mx.ones((2, 4)), "alpha": mx.ones((4,)), "mid": mx.ones((2, 1))}
    graph = capture(lambda alpha, mid, zeta: zeta * alpha - mid, example)
    assert [t.name for t in graph.inputs] == ["zeta", "alpha", "mid"]
    assert [t.shape for t in graph.inputs] == [(2, 4), (4,), (2, 1)]


@pytest.mark.parametrize(
    ("fn", "names"),
    [
        (lambda x: x + 1, ["output"]),
        (lambda x: (x + 1, x * 2), ["output_0", "output_1"]),
        (lambda x: [x + 1], ["output_0"]),
        (lambda x: {"sum": x.sum(), "same": x}, ["sum", "same"]),
    ],
)
def test_outputs_keep_their_names(fn, names):
    assert list(capture(fn, X).outputs) == names


def test_nodes_know_their_module(stack):
    graph = capture(stack, X)
    scopes = {node.scope for node in graph.nodes if node.op == "AddMM"}
    assert scopes == {f"layers.{n}.{name}" for n in (0, 1) for name in ("up", "down")}
    assert {node.scope for node in graph.nodes if node.op == "Sqrt"} == {"layers.0.norm", "layers.1.norm"}
    assert {node.scope for node in graph.nodes if node.op == "Maximum"} == {"layers.0.down", "layers.1.down"}


def test_names_tell_module_and_primitive(stack):
    graph = capture(stack, X)
    assert "layers_1_up_addmm" in graph.tensors
    assert "layers_1_up_const" in graph.constants


def test_modules_are_as_before(stack):
    calls = [cls.__dict__["__call__"] for cls in (Stack, Block, nn.Linear, nn.LayerNorm)]
    capture(stack, X)
    assert [cls.__dict__["__call__"] for cls in (Stack, Block, nn.Linear, nn.LayerNorm)] == calls


def runs_of_two_calls():
    runs = []
    compiled = mx.compile(lambda x: runs.append(x) or x)
    compiled(X["x"])
    compiled(X["x"])
    return len(runs)


@pytest.mark.parametrize("fn", [lambda x: x + 1, lambda x: "text"])
@pytest.mark.parametrize(("switch", "runs"), [(mx.enable_compile, 1), (mx.disable_compile, 2)])
def test_compiling_is_as_before(switch, runs, fn):
    switch()
    try:
        with nullcontext() if fn(1) == 2 else pytest.raises(ConversionError):
            capture(fn, X)
        assert runs_of_two_calls() == runs
    finally:
        mx.enable_compile()


def test_compiled_parts_are_captured_as_what_they_are():
    part = mx.compile(lambda a: mx.exp(a) * mx.sin(a))
    weight = mx.array([1.0, 2, 3, 4])
    graph = capture(lambda x: x * part(weight), X)
    assert [node.op for node in graph.nodes] == ["Exp", "Sin", "Multiply", "Broadcast", "Multiply"]


def test_captures_in_two_threads_leave_nothing_behind():
    before = mx.contiguous, nn.Linear.__call__
    second_in, first_out = threading.Event(), threading.Event()

    def first(x):
        thread.start()
        # Without a lock, the second is in its capture when this one ends, and ends after it.
        second_in.wait(0.3)
        return mx.contiguous(x) + 1

    def second(x):
        second_in.set()
        first_out.wait(5)
        return x * 2

    graphs = []
    thread = threading.Thread(target=lambda: graphs.append(capture(second, X)))
    graphs.append(capture(first, X))
    first_out.set()
    thread.join()
    assert [graph.nodes[-1].op for graph in graphs] == ["Add", "Multiply"]
    assert (mx.contiguous, nn.Linear.__call__) == before
    assert runs_of_two_calls() == 1


def test_other_threads_keep_what_a_capture_changes():
    found = []

    def fn(x):
        turned = mx.contiguous
        thread = threading.Thread(target=lambda: found.append(memoryview(turned(mx.ones((2, 3)).T)).c_contiguous))
        thread.start()
        thread.join()
        return x + 1

    capture(fn, X)
    assert found == [True]


def test_quiet_in_two_threads_leaves_nothing_behind():
    before = sys.stderr, logging.getLogger("coremltools").level
    second_in, first_out = threading.Event(), threading.Event()

    def second():
        with quiet():
            second_in.set()
            first_out.wait(5)

    thread = threading.Thread(target=second)
    with quiet():
        thread.start()
        second_in.wait(0.3)
    first_out.set()
    thread.join()
    assert (sys.stderr, logging.getLogger("coremltools").level) == before


def test_graph_is_the_function(stack):
    example = {"x": mx.array(np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))}
    graph = capture(stack, example)
    close(interpret(graph, example)[graph.outputs["output"]], stack(**example), "sum_order")


def test_unevaluated_parameters_are_named():
    model = Stack()
    mx.eval(model.layers[0].parameters())
    with pytest.raises(ConversionError, match=r"random numbers are drawn in layers\.1\.down, layers\.1\.up.*mx\.eval"):
        capture(model, X)


def test_dropout_in_training_is_named():
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.5))
    with pytest.raises(ConversionError, match=r"random numbers.*layers\.1.*model\.eval\(\)"):
        capture(model, X)


@pytest.mark.parametrize(
    ("fn", "example", "says"),
    [
        (lambda x: x, {}, "example is empty"),
        (lambda x: x, {"x": np.ones(3)}, r"input x is ndarray; expected an MLX array"),
        (lambda x: {1: x, "1": x}, X, r"same name as text: \[1, '1'\]"),
        (lambda x: x, {"x": mx.ones(3).astype(mx.complex64)}, "complex64; a package has none"),
        (lambda x: x, {"x": mx.ones((0, 3))}, "no empty arrays"),
        (lambda x: "text", X, "returns str"),
        (lambda x: {"a": x, "b": 3}, X, "output b is int"),
        (lambda x: {}, X, "returns nothing"),
        (lambda x: x if x.sum().item() > 0 else -x, X, "looks at values"),
        (lambda x: mx.array(x.tolist()), X, "looks at values"),
        (lambda x: mx.bitwise_invert(x.astype(mx.int32)), X, "can't export its primitive BitwiseInvert"),
    ],
)
def test_what_cannot_leave_is_told(fn, example, says):
    with pytest.raises(ConversionError, match=says):
        capture(fn, example)


def test_float64_is_refused():
    with pytest.raises(ConversionError, match=r"float64 \(\d+ tensors?\).*compute in float32"):
        capture(lambda x: x.astype(mx.float64).astype(mx.float32), X)


def test_all_faults_of_an_example_at_once():
    with pytest.raises(ConversionError, match=r"input a .*; input b "):
        capture(lambda a, b: a, {"a": np.ones(2), "b": mx.ones((0,))})


def test_ops_without_lowering_are_all_listed(stack):
    graph = capture(stack, X)
    nodes = [
        Node({"Sqrt": "Warp", "Maximum": "Weft"}.get(n.op, n.op), n.inputs, n.outputs, n.args, n.scope)
        for n in graph.nodes
    ]
    with pytest.raises(UnsupportedOpsError) as caught:
        check_supported(graph.with_nodes(nodes), OPS, "converters/coreml/ops")
    text = str(caught.value)
    assert "no lowering for 2 of the" in text
    assert "Warp ×2 (in layers.0.norm, layers.1.norm)" in text
    assert "Weft ×2 (in layers.0.down, layers.1.down)" in text
    assert "docs/reference/ops.md" in text


@pytest.mark.parametrize(
    ("nodes", "outputs", "says"),
    [
        ([Node("A", ("y",), (Tensor("z", (2,), "float32"),))], {"o": "z"}, "reads y, which nothing"),
        ([Node("A", ("x",), (Tensor("x", (2,), "float32"),))], {"o": "x"}, "makes x again"),
        ([Node("A", ("x",), (Tensor("z", (2,), "float128"),))], {"o": "z"}, "dtype float128"),
        ([Node("A", ("x",), (Tensor("z", (-2,), "float32"),))], {"o": "z"}, "shape"),
        ([], {"o": "w"}, "output o is w"),
    ],
)
def test_broken_graphs_are_caught(nodes, outputs, says):
    graph = Graph((Tensor("x", (2,), "float32"),), outputs, {}, tuple(nodes))
    with pytest.raises(AssertionError, match=rf"after somepass: .*{says}"):
        graph.check("somepass")
