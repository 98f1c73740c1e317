"""What the passes do: each keeps every output's value, and the taken-apart comes back as one node."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from converters.capture import capture
from converters.coreml.executor import Executor
from converters.coreml.lower import save
from converters.interpret import interpret
from converters.passes import PASSES, run_passes
from tests.conftest import write_checkpoint
from tests.tolerances import close
from wotd_mlx.embed.bert import load_bert
from wotd_mlx.kernels.choice import taking


def evaluated(module: nn.Module) -> nn.Module:
    mx.eval(module.parameters())
    module.eval()
    return module


def normal(*shape: int, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    _, model = load_bert(write_checkpoint(tmp_path_factory.mktemp("bert"), layers=2), "mean")

    def plain(**inputs: mx.array) -> mx.array:
        with taking("gpu"):
            return model(**inputs)

    example = {"ids": mx.array([[2, 9, 7, 3, 0, 0]], mx.int32), "mask": mx.array([[1, 1, 1, 1, 0, 0]], mx.float32)}
    return plain, example


MODELS = {
    "gelu": (nn.gelu, {"x": normal(2, 3)}),
    "layer_norm": (evaluated(nn.LayerNorm(4)), {"x": normal(2, 4)}),
    "rms_norm": (evaluated(nn.RMSNorm(4)), {"x": normal(2, 4)}),
    "linear": (evaluated(nn.Linear(4, 3)), {"x": normal(2, 4)}),
    "attention": (
        lambda q: mx.fast.scaled_dot_product_attention(q, q, q, scale=0.5, mask="causal"),
        {"q": normal(1, 2, 5, 4)},
    ),
    "reshapes": (lambda x: x.reshape(4, 3)[None].squeeze(0).flatten() * 2, {"x": normal(2, 6)}),
    "constants": (lambda x: x + mx.arange(6) * mx.sin(mx.array(0.5)), {"x": normal(2, 6)}),
    "twice": (lambda x: mx.exp(x) * mx.exp(x) + x[0], {"x": normal(2, 6)}),
    "unused": (lambda x, y: x * 2, {"x": normal(2), "y": normal(3)}),
}


@pytest.mark.parametrize("name", [*MODELS, "bert"])
def test_every_pass_keeps_every_value(name, bert):
    fn, example = bert if name == "bert" else MODELS[name]
    graph = capture(fn, example)
    want = interpret(graph, example)[graph.outputs["output"]]
    for step in PASSES:
        graph = step(graph).check(step.__name__)
        close(interpret(graph, example)[graph.outputs["output"]], want, "sum_order")


@pytest.mark.parametrize(
    ("fn", "shape", "left"),
    [
        (nn.gelu, (2, 3), {"GELU"}),
        (nn.gelu_approx, (2, 3), {"GELU"}),
        (nn.gelu_fast_approx, (2, 3), {"GELU"}),
        (nn.silu, (2, 3), {"SiLU"}),
        (nn.relu, (2, 3), {"ReLU"}),
        (evaluated(nn.LayerNorm(4)), (2, 3, 4), {"LayerNorm"}),
        (evaluated(nn.LayerNorm(4, bias=False)), (2, 3, 4), {"LayerNorm"}),
        (evaluated(nn.LayerNorm(4, affine=False)), (2, 3, 4), {"LayerNorm"}),
        (evaluated(nn.RMSNorm(4)), (2, 3, 4), {"RMSNorm"}),
        (evaluated(nn.Linear(4, 5)), (2, 3, 4), {"Linear"}),
        (evaluated(nn.Linear(4, 5, bias=False)), (2, 3, 4), {"Linear"}),
        (lambda x: mx.fast.scaled_dot_product_attention(x, x, x, scale=0.3), (1, 2, 3, 4), {"Attention"}),
        (
            lambda x: mx.fast.scaled_dot_product_attention(x, x, x, scale=0.3, mask="causal"),
            (1, 2, 3, 4),
            {"Attention"},
        ),
        (lambda x: x[1], (3, 4), {"Pick"}),
    ],
)
def test_what_was_taken_apart_is_whole_again(fn, shape, left):
    graph = run_passes(capture(fn, {"x": normal(*shape)}))
    assert set(graph.counts()) == left
    assert max(graph.counts().values()) == 1


def test_norm_over_another_mean_is_left_alone():
    """A sum that isn't divided by its own length is no mean, however alike the nodes are."""

    def almost(x):
        centred = x - x.sum(-1, keepdims=True) * 0.3
        return centred * mx.rsqrt(centred.square().sum(-1, keepdims=True) * 0.3 + 1e-5)

    example = {"x": normal(2, 4)}
    graph = run_passes(capture(almost, example))
    assert "LayerNorm" not in graph.counts()
    close(interpret(graph, example)[graph.outputs["output"]], almost(**example), "sum_order")


def test_weight_of_other_axes_is_no_norm_weight():
    example = {"x": normal(3, 4)}
    graph = run_passes(capture(lambda x: mx.fast.layer_norm(x, None, None, 1e-5) * mx.arange(3.0)[:, None], example))
    assert graph.counts()["LayerNorm"] == 1
    assert graph.counts()["Multiply"] == 1


def test_grouped_queries_are_not_fused():
    q, k = normal(1, 4, 3, 8), normal(1, 2, 3, 8)
    graph = run_passes(capture(lambda q, k: mx.fast.scaled_dot_product_attention(q, k, k, scale=0.5), {"q": q, "k": k}))
    assert "Attention" not in graph.counts()


def test_large_constants_are_not_written_out():
    graph = run_passes(capture(lambda x: x + mx.zeros((2048, 2048)), {"x": normal(2048, 2048)}))
    assert sum(array.size for array in graph.constants.values()) <= 1


def test_op_counts_of_bert(bert, tmp_path):
    """Two layers: from 173 primitives to 52 nodes, and to operations that Core ML has kernels for."""
    model, example = bert
    before = capture(model, example)
    after = run_passes(before)
    counts = before.counts()
    assert (counts["Erf"], counts["Sqrt"], counts["AddMM"], counts["Softmax"]) == (2, 6, 8, 2)
    fused = {name: after.counts()[name] for name in ("GELU", "LayerNorm", "Linear", "Attention")}
    assert fused == {"GELU": 2, "LayerNorm": 5, "Linear": 8, "Attention": 2}
    assert (len(before.nodes), len(after.nodes)) == (173, 52)
    assert not {"Erf", "Broadcast", "AddMM", "Softmax"} & set(after.counts())
    save(after, tmp_path / "bert.mlpackage")
    mil = Executor(tmp_path / "bert.mlpackage").op_counts()
    assert {name: mil[name] for name in ("gelu", "layer_norm", "linear", "softmax")} == {
        "gelu": 2,
        "layer_norm": 5,
        "linear": 8,
        "softmax": 2,
    }


@pytest.mark.parametrize("least", [1e-12, 1e-9, 1e-3])
def test_a_small_least_value_is_no_relu(least):
    """A guard against division by zero must survive: ReLU would let the zero through."""
    graph = run_passes(capture(lambda x: 1 / mx.maximum(x, least), {"x": mx.zeros((2,))}))
    assert graph.counts() == {"Maximum": 1, "Divide": 1}
