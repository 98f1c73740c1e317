"""The fitted weights of what was read, and how a predictor stands on them: alone, added, or at their gates."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_map

from tests.lvm.forms import in_pieces
from tests.tolerances import close
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.parts.residual import NEWEST, NextVector, Scalars

DIMS = 12
WEIGHTS = [0.3, 0.2, -0.1, 0.15, 0.05, 0.4]


def vectors(batch, length):
    x = mx.random.normal((batch, length, DIMS), key=mx.random.key(1))
    return x / mx.linalg.norm(x, axis=-1, keepdims=True)


def scalars():
    made = Scalars()
    made.weights = mx.array(WEIGHTS)
    return made


def model(base, name="gru", start=False, **more):
    """Small, and with random weights where it would start with zeros, unless the ``start`` is what is tested."""
    mx.random.seed(0)
    small = {"gru": {"width": 16, "depth": 1}, "transformer": {"width": 16, "heads": 2, "depth": 1}}[name]
    made = NextVector(build(name, preset(name, "tiny", dims=DIMS, dropout=0.0, **small)), base, **more)
    if base != "none":
        made.scalars.weights = mx.array(WEIGHTS)
    if not start:
        made.update(tree_map(lambda w: w + 0.3 * mx.random.normal(w.shape), made.trainable_parameters()))
    mx.eval(made.parameters())
    return made.eval()


CUTS = [tuple(range(1, 17)), (3, 4, 16)]


@pytest.mark.parametrize("batch", [1, 3])
def test_scalars_are_their_formula(batch):
    """Each weight times 1 and its gate."""
    x, gates = np.asarray(vectors(batch, 9), np.float64), np.random.default_rng(0).normal(size=(batch, 9, 6))
    want, gated = np.zeros_like(x), np.zeros_like(x)
    for t in range(9):
        for k in range(min(NEWEST, t + 1)):
            want[:, t] += WEIGHTS[k] * x[:, t - k]
            gated[:, t] += WEIGHTS[k] * (1 + gates[:, t, k : k + 1]) * x[:, t - k]
        mean = WEIGHTS[NEWEST] * x[:, : t + 1].mean(axis=1)
        want[:, t] += mean
        gated[:, t] += (1 + gates[:, t, NEWEST:]) * mean
    x, gates = mx.array(x.astype("float32")), mx.array(gates.astype("float32"))
    y, (newest, total, count) = scalars()(x)
    close(y, want, "forms")
    close(newest, x[:, 5:], "exact")
    close(total, x.sum(axis=1), "forms")
    assert count.item() == 9
    close(scalars()(x, None, gates)[0], gated, "forms")


def test_scalars_begin_as_copying():
    x = vectors(2, 7)
    close(Scalars()(x)[0], x, "exact")


@pytest.mark.parametrize("cuts", CUTS)
def test_scalars_read_whole_in_chunks_and_by_steps_agree(cuts):
    x, read = vectors(3, 17), scalars()
    gates = mx.random.normal((3, 17, NEWEST + 1), key=mx.random.key(2))
    whole, after = read(x, None, gates)
    state, rows = None, []
    for a, b in zip([0, *cuts], [*cuts, 17], strict=True):
        y, state = read(x[:, a:b], state, gates[:, a:b])
        rows.append(y)
    close(mx.concatenate(rows, axis=1), whole, "forms")
    for got, want in zip(state, after, strict=True):
        close(got, want, "forms")


def test_a_long_context_in_bfloat16_is_counted_and_summed_in_float32():
    """In bfloat16, 256 + 1 is 256."""
    _, (newest, total, count) = scalars()(mx.ones((1, 300, DIMS), mx.bfloat16))
    assert (newest.dtype, total.dtype, count.item()) == (mx.bfloat16, mx.float32, 300)
    close(total, np.full((1, DIMS), 300), "ids")


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("base", ["none", "added", "gates"])
def test_a_model_is_its_formula_and_reads_alike_in_pieces(base, name):
    x, made = vectors(3, 17), model(base, name)
    f = np.array(made.predictor(x * 12**0.5)[0], np.float64)
    if base == "gates":
        gates = f @ np.array(made.gates.weight, np.float64).T + np.array(made.gates.bias)
        want = scalars()(x, None, mx.array(gates.astype("float32")))[0]
    else:
        want = f / 12**0.5 + (np.array(scalars()(x)[0]) if base == "added" else 0)
    close(made(x)[0], want, "forms")
    for cuts in CUTS:
        close(in_pieces(made, x, cuts)[0], want, "forms")
    assert ("scalars.weights" in named(made.parameters())) == (base != "none")


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("base", ["added", "gates"])
def test_training_begins_at_what_the_scalars_reach(base, name):
    x, made = vectors(3, 17), model(base, name, start=True)
    close(made(x)[0], scalars()(x)[0], "forms")
    assert "scalars.weights" not in named(made.trainable_parameters())

    def loss(parameters):
        made.update(parameters)
        return mx.square(made(x)[0] - 1).mean()

    gradients = named(mx.grad(loss)(made.trainable_parameters()))
    last = "gates" if base == "gates" else "predictor.head"
    assert mx.abs(gradients[f"{last}.weight"]).max().item() > 0


class Probe(nn.Module):
    """Stands for a predictor, and remembers what it read."""

    def __init__(self):
        super().__init__()
        self.embed = self.head = nn.Linear(DIMS, DIMS)

    def __call__(self, x, state=None):
        self._seen = np.array(x)
        return mx.zeros_like(x), state


@pytest.mark.parametrize("base", ["none", "added"])
def test_a_share_of_vectors_is_hidden_in_training_alone_and_not_from_the_scalars(base):
    x = vectors(40, 50)
    mx.random.seed(0)
    made = NextVector(Probe(), base, context_dropout=0.2)
    if base == "added":
        made.scalars.weights = mx.array(WEIGHTS)
        close(made.train()(x)[0], scalars()(x)[0], "exact")
    made.train()(x)
    scaled, seen = np.array(x * 12**0.5), made.predictor._seen
    hidden = ~seen.any(axis=-1)
    close(hidden.mean(), np.float64(0.2), "sampled_share")
    # Each position on its own, whole vectors: what is left is as it was.
    assert 0 < hidden.mean(axis=0).min() < hidden.mean(axis=0).max() < 0.6
    close(seen[~hidden], scaled[~hidden], "exact")
    made.eval()(x)
    close(made.predictor._seen, scaled, "exact")


def test_noise_of_the_given_deviation_is_added_in_training_alone():
    x = vectors(40, 50)
    mx.random.seed(0)
    made = NextVector(Probe(), "none", noise=0.3)
    made.train()(x)
    noise = made.predictor._seen - np.array(x * 12**0.5)
    close([noise.mean(), noise.std()], [0, 0.3], "sampled_mean")
    # Each number has its own.
    close((noise[..., 1:] * noise[..., :-1]).mean() / 0.09, np.float64(0), "sampled_mean")
    close((noise[:, 1:] * noise[:, :-1]).mean() / 0.09, np.float64(0), "sampled_mean")
    made.eval()(x)
    close(made.predictor._seen, x * 12**0.5, "exact")
