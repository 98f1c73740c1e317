"""mlx-lm's SwiGLU in a vector loop, for one model alone."""

from __future__ import annotations

import io

import mlx.core as mx
import pytest
from mlx import nn
from mlx_lm.models import activations, gemma3_text, llama, olmo2, phi3

from tests.language.conftest import SHAPE
from tests.tolerances import close
from wotd_mlx.kernels.choice import taking
from wotd_mlx.kernels.swiglu import fast_swiglu


def small(module=llama):
    return module.Model(module.ModelArgs.from_dict(SHAPE))


def primitives(model: nn.Module) -> str:
    """What a model computes, as MLX's graph, compiled functions taken apart; mlx-lm's own SwiGLU has a Sigmoid."""
    dot = io.StringIO()
    mx.disable_compile()
    try:
        mx.export_to_dot(dot, model(mx.array([[5, 9, 2, 7]])))
    finally:
        mx.enable_compile()
    return dot.getvalue()


def test_swiglu_inside_and_afterwards():
    model = small()
    tokens = mx.array([[5, 9, 2, 7]])
    weights = model.trainable_parameters()

    def loss(weights):
        model.update(weights)
        return nn.losses.cross_entropy(model(tokens)[0], tokens[0], reduction="sum")

    want, slopes = mx.value_and_grad(loss)(weights)
    with fast_swiglu(model):
        got, others = mx.compile(mx.value_and_grad(loss))(weights)
    close(got, want, "language")
    for layer, other in zip(slopes["model"]["layers"], others["model"]["layers"], strict=True):
        for name in ("gate_proj", "up_proj", "down_proj"):
            close(other["mlp"][name]["weight"], layer["mlp"][name]["weight"], "language")


@pytest.mark.parametrize("architecture", [llama, olmo2, phi3], ids=lambda module: module.__name__)
def test_only_the_models_own_layers_compute_another_swiglu(architecture):
    model, other = small(architecture), small(architecture)
    with fast_swiglu(model):
        assert "Sigmoid" not in primitives(model)
        assert "Sigmoid" in primitives(other)
        assert architecture.swiglu is activations.swiglu
        assert str(model) == str(other)
    assert "Sigmoid" in primitives(model)
    assert {type(module) for module in model.modules()} == {type(module) for module in other.modules()}


def test_swiglu_is_mlx_lms_again_after_an_error():
    model = small()
    with pytest.raises(KeyError), fast_swiglu(model):
        raise KeyError
    assert "Sigmoid" in primitives(model)


def test_other_gates_and_other_paths_stay_as_they_are():
    model = small()
    with taking("gpu"), fast_swiglu(model):
        assert "Sigmoid" in primitives(model)
    other = gemma3_text.Model(gemma3_text.ModelArgs(model_type="gemma3_text", num_hidden_layers=1, vocab_size=64))
    kinds = [type(module) for module in other.modules()]
    with fast_swiglu(other):
        assert [type(module) for module in other.modules()] == kinds
