"""S4 against its definition in float64: dense HiPPO-LegS, bilinear steps by an inverse, one vector after another."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.lvm.forms import in_pieces
from tests.tolerances import close
from wotd_mlx.lvm.parts.state_space import Dense, StateSpace, hippo

H, N = 6, 16


def space(kernel="s4", steps=(0.003, 0.3)):
    mx.random.seed(0)
    return StateSpace(H, N, kernel, steps)


def dense_hippo():
    """A, B as in the paper's equation 2, and the row 2 Re(c x) of diagonal coordinates as a function of C."""
    a, b = np.zeros((N, N)), np.zeros(N)
    for n in range(N):
        b[n] = (2 * n + 1) ** 0.5
        for k in range(n + 1):
            a[n, k] = -((2 * n + 1) ** 0.5) * (2 * k + 1) ** 0.5 if n > k else -(n + 1)
    p = np.sqrt(np.arange(N) + 0.5)
    values, vectors = np.linalg.eig(a + np.outer(p, p))
    found = []
    for value, wanted_b in zip(hippo(N)[0], hippo(N)[2], strict=True):
        v = vectors[:, np.argmin(np.abs(values - value))]
        v /= np.linalg.norm(v)
        # An eigenvector's phase is free: take that of our B.
        found.append(v * ((v.conj() @ b) / wanted_b))
    return a, b, lambda c: 2 * (c @ np.array(found).conj()).real


def parameters(model):
    return {name: np.array(getattr(model, name), np.float64) for name in ("c", "log_step", "skip")}


def defined(weights, u):
    """u (L, H) -> y (L, H), state after state; ``weights`` as our parameters, in float64."""
    a, b, row = dense_hippo()
    out = np.zeros_like(u)
    for h in range(H):
        half, eye = np.exp(weights["log_step"][h]) / 2 * a, np.eye(N)
        inverse = np.linalg.inv(eye - half)
        step, write = inverse @ (eye + half), inverse @ b * np.exp(weights["log_step"][h])
        c, x = row(weights["c"][0, h] + 1j * weights["c"][1, h]), np.zeros(N)
        for t in range(len(u)):
            x = step @ x + write * u[t, h]
            out[t, h] = c @ x + weights["skip"][h] * u[t, h]
    return out


def test_pairs_are_the_whole_of_hippo():
    """Λ - P P* and B, both states of each pair, are similar to the dense matrices: the same C Aᵏ B for all C, k."""
    a, b, row = dense_hippo()
    values, p, b_half = (np.concatenate([v, v.conj()]) for v in hippo(N))
    low_rank = np.diag(values) - np.outer(p, p.conj())
    c = np.random.default_rng(0).normal(size=(N // 2, 2)) @ [1, 1j]
    for k in range(4):
        want = row(c) @ np.linalg.matrix_power(a / N, k) @ b
        got = np.concatenate([c, c.conj()]) @ np.linalg.matrix_power(low_rank / N, k) @ b_half
        np.testing.assert_allclose(got, want, rtol=1e-9)


@pytest.mark.parametrize("length", [1, 2, 5, 16, 77, 300])
def test_outputs_are_the_definitions(length):
    model = space()
    u = np.random.default_rng(1).normal(size=(length, H)).astype(np.float32)
    close(model(mx.array(u)[None], None)[0][0], defined(parameters(model), u.astype(np.float64)), "paper")


def test_gradients_are_the_definitions():
    """Of a weighted mean, in C, log Δ and d, by central differences in float64."""
    model = space()
    u, weight = np.random.default_rng(2).normal(size=(2, 12, H)).astype(np.float32)

    def loss(parameters):
        model.update(parameters)
        return (model(mx.array(u)[None], None)[0][0] * mx.array(weight)).mean()

    got = mx.grad(loss)(model.trainable_parameters())
    weights = parameters(model)
    for name, array in weights.items():
        want = np.zeros_like(array)
        for position in np.ndindex(array.shape):
            kept, sides = array[position], []
            for shift in (1e-5, -1e-5):
                array[position] = kept + shift
                sides.append((defined(weights, u.astype(np.float64)) * weight).mean())
            array[position], want[position] = kept, (sides[0] - sides[1]) / 2e-5
        close(got[name], want, "paper")


@pytest.mark.parametrize("length", [2, 16, 33, 1024, 1500])
def test_the_generating_function_gives_the_powers(length):
    """The kernel of the roots of unity against C Āᵗ B̄ in float64, where a channel hardly forgets and where it does."""
    model = space(steps=(0.001, 0.5))
    system = model.discrete()
    powers = Dense(system)
    step = np.array(powers.squares[0], np.float64) + np.eye(N)
    c, x, want = np.array(system.read, np.float64), np.array(system.write, np.float64), []
    for _ in range(length):
        want.append((c * x).sum(1))
        x = np.einsum("hij,hj->hi", step, x)
    close(model.kernel(length, system, powers), np.array(want).T, "paper")


def inputs(length):
    """Of a size that makes the outputs about 1, as they are after a norm: the tolerance is absolute."""
    return 0.2 * mx.random.normal((2, length, H), key=mx.random.key(1))


@pytest.mark.parametrize("kernel", ["s4", "s4d"])
@pytest.mark.parametrize("length", [2, 64, 65, 200])
def test_forms_agree_at_any_length(kernel, length):
    """By steps from the start, as a convolution, and in two parts of which the second begins from a state."""
    model, u = space(kernel), inputs(length)
    whole, after = model(u, None)
    for cuts in (range(1, length), [length // 3 + 1]):
        y, state = in_pieces(model, u, cuts)
        close(y, whole, "forms")
        close(state, after, "forms")


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_no_weights_make_a_system_unstable(scale):
    """A + A* is negative definite whatever the weights, so that no step of the recurrence lengthens a state."""
    model = space()
    for name in ("log_decay", "frequency", "p", "log_step"):
        model[name] = model[name] + scale * mx.random.normal(model[name].shape)
    change = np.array(Dense(model.discrete()).squares[0], np.float64)
    assert np.linalg.norm(np.eye(N) + change, ord=2, axis=(1, 2)).max() <= 1 + 1e-6


def test_a_state_forgets_no_faster_than_it_must():
    """After an impulse and 2,000 zeros the recurrence still holds what the convolution says."""
    model = space("s4")
    u = mx.concatenate([mx.ones((1, 1, H)), mx.zeros((1, 2000, H))], axis=1)
    whole, _ = model(u, None)
    close(in_pieces(model, u, [1])[0], whole, "forms")
