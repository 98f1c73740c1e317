"""DistilGPT2: its positions, and a training that takes the fast GELU."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten, tree_map

from tests.tolerances import close
from wotd_mlx.kernels.choice import taking
from wotd_mlx.lvm import build, preset
from wotd_mlx.schemas import WotdError


def test_a_context_longer_than_the_positions_is_refused():
    model = build("distilgpt2", preset("distilgpt2", "tiny", dims=24, longest=8)).eval()
    x = mx.random.normal((1, 8, 24))
    _, state = model(x)
    with pytest.raises(WotdError, match="a context of 9 vectors is longer than distilgpt2's 8 learned positions"):
        model.step(x[:, 0], state)
    with pytest.raises(WotdError, match="a context of 12 vectors"):
        model(mx.concatenate([x, x[:, :4]], axis=1))


def test_the_blocks_have_the_published_number_of_parameters():
    """DistilGPT2's 81,912,576 less 50,257 tokens and 1024 positions of 768 numbers."""
    model = build("distilgpt2", preset("distilgpt2", "paper"))
    blocks = [weight for part in (model.layers, model.norm) for _, weight in _weights(part)]
    assert sum(weight.size for weight in blocks) == 81_912_576 - (50_257 + 1024) * 768


def _weights(part):
    return tree_flatten([block.parameters() for block in part] if isinstance(part, list) else part.parameters())


def test_gradients_in_training_are_those_of_the_exact_form():
    mx.random.seed(0)
    model = build("distilgpt2", preset("distilgpt2", "tiny", dims=24, width=32, heads=4, dropout=0.0))
    mx.eval(model.parameters())
    x = mx.random.normal((2, 9, 24))

    def loss(parameters):
        model.update(parameters)
        return (model(x)[0] ** 2).mean()

    parameters = tree_map(mx.array, model.trainable_parameters())
    model.train()
    quick = dict(tree_flatten(mx.grad(loss)(parameters)))
    with taking("gpu"):
        for name, want in tree_flatten(mx.grad(loss)(parameters)):
            close(quick[name], want, "reference")
