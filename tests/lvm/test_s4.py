"""What S4's mathematics promises: it is stable, its memory is constant, its forms agree at any length."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.parts.convolution import SHORT, convolve
from wotd_mlx.lvm.parts.state_space import Dense, StateSpace
from wotd_mlx.schemas import WotdError


def space(kernel, states=16):
    mx.random.seed(0)
    return StateSpace(5, states, kernel, (0.003, 0.3))


def inputs(length):
    """Of a size that makes the outputs about 1, as they are after a norm: the tolerance is absolute."""
    return 0.2 * mx.random.normal((2, length, 5), key=mx.random.key(1))


@pytest.mark.parametrize("kernel", ["s4", "s4d"])
@pytest.mark.parametrize("length", [2, 64, 65, 200])
def test_forms_agree_at_any_length(kernel, length):
    """By steps from the start, as a convolution, and in two parts of which the second begins from a state."""
    model, u = space(kernel), inputs(length)
    whole, after = model(u, None)
    state, rows = None, []
    for t in range(length):
        row, state = model(u[:, t : t + 1], state)
        rows.append(row)
    close(mx.concatenate(rows, axis=1), whole, "forms")
    close(state, after, "forms")
    first, state = model(u[:, : length // 3 + 1], None)
    rest, state = model(u[:, length // 3 + 1 :], state)
    close(mx.concatenate([first, rest], axis=1), whole, "forms")
    close(state, after, "forms")


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_no_weights_make_a_system_unstable(scale):
    """A + A* is negative definite whatever the weights, so that no step of the recurrence lengthens a state."""
    model = space("s4", 8)
    for name in ("log_decay", "frequency", "p", "log_step"):
        model[name] = model[name] + scale * mx.random.normal(model[name].shape)
    change = np.array(Dense(model.discrete()).squares[0], np.float64)
    assert np.linalg.norm(np.eye(8) + change, ord=2, axis=(1, 2)).max() <= 1 + 1e-6


def test_a_state_forgets_no_faster_than_it_must():
    """After an impulse and 2,000 zeros the recurrence still holds what the convolution says."""
    model = space("s4")
    u = mx.concatenate([mx.ones((1, 1, 5)), mx.zeros((1, 2000, 5))], axis=1)
    whole, _ = model(u, None)
    first, state = model(u[:, :1], None)
    rest, _ = model(u[:, 1:], state)
    close(mx.concatenate([first, rest], axis=1), whole, "forms")


@pytest.mark.parametrize("length", [1, 2, 5, SHORT, SHORT + 1, 150])
@pytest.mark.parametrize("last", [1, 2, None])
def test_a_convolution_is_its_sums(length, last):
    """And so are its gradients, by matrices as by transforms."""
    rng = np.random.default_rng(0)
    last = min(last or length, length)
    x, kernel, weight = (rng.normal(size=s).astype(np.float32) for s in ((2, length, 3), (3, length), (2, last, 3)))
    matrix = np.zeros((length, length, 3))
    for t in range(length):
        matrix[t, : t + 1] = kernel[:, t::-1].T
    matrix = matrix[length - last :]
    close(convolve(mx.array(x), mx.array(kernel), last), np.einsum("tsd,bsd->btd", matrix, x), "sum_order")
    in_x, in_kernel = mx.grad(lambda x, k: (convolve(x, k, last) * mx.array(weight)).mean(), argnums=(0, 1))(
        mx.array(x), mx.array(kernel)
    )
    close(in_x, np.einsum("tsd,btd->bsd", matrix, weight) / weight.size, "sum_order")
    want = np.zeros_like(kernel)
    for row in range(last):
        t = length - last + row
        want[:, : t + 1] += np.einsum("bd,bsd->ds", weight[:, row], x[:, t::-1]) / weight.size
    close(in_kernel, want, "sum_order")


def test_kernels_that_cannot_be_are_refused():
    with pytest.raises(WotdError, match="unknown kernel 's5'; expected s4 or s4d"):
        preset("s4", "tiny", kernel="s5")
    with pytest.raises(WotdError, match="got 7 states, expected an even number"):
        preset("s4", "tiny", states=7)


def test_the_diagonal_form_is_a_model_too():
    model = build("s4", preset("s4", "tiny", dims=8, kernel="s4d")).eval()
    assert "p" not in model.layers[0].ssm
    x = mx.random.normal((1, 9, 8))
    whole, _ = model(x)
    first, state = model(x[:, :4])
    close(mx.concatenate([first, model(x[:, 4:], state)[0]], axis=1), whole, "forms")
