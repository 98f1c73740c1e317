"""The fitted weights of what was read, and how a predictor stands on them: alone, added, or at their gates."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map

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


def ways(read, x, cuts):
    """The outputs of reading x in pieces."""
    state, rows = None, []
    for a, b in zip([0, *cuts], [*cuts, x.shape[1]], strict=True):
        y, state = read(x[:, a:b], state)
        rows.append(y)
    return mx.concatenate(rows, axis=1)


CUTS = [tuple(range(1, 17)), (9,), (1, 14), (3, 4, 16)]


@pytest.mark.parametrize("batch", [1, 3])
def test_scalars_are_their_formula(batch):
    x = np.asarray(vectors(batch, 9), np.float64)
    want = np.zeros_like(x)
    for t in range(9):
        for k in range(min(NEWEST, t + 1)):
            want[:, t] += WEIGHTS[k] * x[:, t - k]
        want[:, t] += WEIGHTS[NEWEST] * x[:, : t + 1].mean(axis=1)
    close(scalars()(mx.array(x.astype("float32")))[0], want, "forms")


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_scalars_read_whole_in_chunks_and_by_steps_agree(batch, cuts):
    x, read = vectors(batch, 17), scalars()
    close(ways(read, x, cuts), read(x)[0], "forms")
    gates = mx.random.normal((batch, 17, NEWEST + 1), key=mx.random.key(2))
    whole, after = read(x, None, gates)
    state, rows = None, []
    for a, b in zip([0, *cuts], [*cuts, 17], strict=True):
        y, state = read(x[:, a:b], state, gates[:, a:b])
        rows.append(y)
    close(mx.concatenate(rows, axis=1), whole, "forms")
    for got, want in zip(state, after, strict=True):
        close(got, want, "forms")


def test_gates_change_each_weight_by_its_share():
    x, read = vectors(2, 7), scalars()
    close(read(x, None, mx.zeros((2, 7, 6)))[0], read(x)[0], "exact")
    close(read(x, None, mx.full((2, 7, 6), -1.0))[0], mx.zeros_like(x), "exact")
    close(read(x, None, mx.ones((2, 7, 6)))[0], 2 * read(x)[0], "forms")


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("base", ["none", "added", "gates"])
def test_a_model_reads_alike_whole_in_chunks_and_by_steps(base, name, cuts):
    x, made = vectors(3, 17), model(base, name)
    whole, _ = made(x)
    close(ways(made, x, cuts), whole, "forms")
    if base == "gates":
        gates = made.gates(made.predictor(x * made.scale)[0])
        assert mx.abs(gates).min(axis=(0, 1)).max().item() > 0.01
        assert mx.std(gates, axis=(0, 1)).min().item() > 0.01


@pytest.mark.parametrize("base", ["none", "added", "gates"])
def test_a_later_vector_changes_no_earlier_prediction(base):
    x, made = vectors(2, 13), model(base)
    after = mx.concatenate([x[:, :7], x[:, 7:] + 1], axis=1)
    close(made(after)[0][:, :7], made(x)[0][:, :7], "forms")
    assert mx.abs(made(after)[0][:, 7] - made(x)[0][:, 7]).max().item() > 1e-3


@pytest.mark.parametrize("name", ["gru", "transformer"])
@pytest.mark.parametrize("base", ["added", "gates"])
def test_training_begins_at_what_the_scalars_reach(base, name):
    x, made = vectors(3, 17), model(base, name, start=True)
    close(made(x)[0], scalars()(x)[0], "forms")
    assert "scalars.weights" not in named(made.trainable_parameters())
    assert "scalars.weights" in named(made.parameters())

    def loss(parameters):
        made.update(parameters)
        return mx.square(made(x)[0] - 1).mean()

    gradients = named(mx.grad(loss)(made.trainable_parameters()))
    last = "gates" if base == "gates" else "predictor.head"
    assert mx.abs(gradients[f"{last}.weight"]).max().item() > 0


def test_a_model_alone_is_scaled_and_has_nothing_beside_it():
    x, made = vectors(2, 5), model("none")
    close(made(x)[0], made.predictor(x * DIMS**0.5)[0] / DIMS**0.5, "exact")
    assert all(name.startswith("predictor.") for name in named(made.parameters()))


def test_dropped_vectors_and_noise_act_in_training_alone_and_not_on_the_scalars():
    x = vectors(2, 9)
    for more in ({"context_dropout": 0.5}, {"noise": 0.5}):
        made = model("added", **more)
        close(made(x)[0], made(x)[0], "exact")
        close(made(x)[0], model("added")(x)[0], "exact")
        made.train()
        assert mx.abs(made(x)[0] - made(x)[0]).max().item() > 1e-3
        begun = model("added", start=True, **more).train()
        close(begun(x)[0], scalars()(x)[0], "forms")
