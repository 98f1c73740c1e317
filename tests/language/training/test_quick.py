"""What a training on a CPU computes in vector loops, against MLX's own and float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx_lm.models import activations, gemma3_text, llama

from tests.language.conftest import SHAPE
from tests.tolerances import close
from wotd_mlx.language.training.quick import cross_entropy, quick_swiglu


@pytest.mark.parametrize("scale", [0.1, 3.0, 60.0])
def test_cross_entropy_and_its_slope(scale):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, scale, (40, 700)), rng.integers(700, size=40)
    weights = rng.normal(size=40)

    def loss(logits: mx.array) -> mx.array:
        return (cross_entropy(logits, mx.array(targets)) * mx.array(weights.astype(np.float32))).sum()

    x = mx.array(logits.astype(np.float32))
    far = np.exp(logits - logits.max(axis=1, keepdims=True))
    want = np.log(far.sum(axis=1)) + logits.max(axis=1) - logits[np.arange(40), targets]
    close(cross_entropy(x, mx.array(targets)), want, "quick_loss")
    want = (far / far.sum(axis=1, keepdims=True) - np.eye(700)[targets]) * weights[:, None]
    for gradient in (mx.grad(loss), mx.compile(mx.grad(loss))):
        close(gradient(x), want, "quick_loss")


def test_swiglu_inside_and_afterwards():
    model = llama.Model(llama.ModelArgs.from_dict(SHAPE))
    tokens = mx.array([[5, 9, 2, 7]])
    weights = model.trainable_parameters()

    def loss(weights):
        model.update(weights)
        return nn.losses.cross_entropy(model(tokens)[0], tokens[0], reduction="sum")

    want, slopes = mx.value_and_grad(loss)(weights)
    with quick_swiglu(model):
        assert llama.swiglu is not activations.swiglu
        got, others = mx.compile(mx.value_and_grad(loss))(weights)
    assert llama.swiglu is activations.swiglu
    close(got, want, "language")
    for layer, other in zip(slopes["model"]["layers"], others["model"]["layers"], strict=True):
        for name in ("gate_proj", "up_proj", "down_proj"):
            close(other["mlp"][name]["weight"], layer["mlp"][name]["weight"], "language")


def test_swiglu_is_put_back_after_an_error():
    with pytest.raises(KeyError), quick_swiglu(llama.Model(llama.ModelArgs.from_dict(SHAPE))):
        raise KeyError
    assert llama.swiglu is activations.swiglu


def test_other_gates_and_whoever_doesnt_want_it_stay_as_they_are():
    with quick_swiglu(llama.Model(llama.ModelArgs.from_dict(SHAPE)), wanted=False):
        assert llama.swiglu is activations.swiglu
    other = gemma3_text.Model(gemma3_text.ModelArgs(model_type="gemma3_text", num_hidden_layers=1, vocab_size=64))
    with quick_swiglu(other):
        assert not hasattr(gemma3_text, "swiglu")
