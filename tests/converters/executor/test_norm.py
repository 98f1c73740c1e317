"""Normalisations against torch, over every set of axes that they take."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.executor.calls import call, needs, normal
from tests.tolerances import close

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

X = normal(2, 4, 5, 3)
MEAN, VARIANCE, GAMMA, BETA = normal(4, seed=1), np.abs(normal(4, seed=2)) + 0.1, normal(4, seed=3), normal(4, seed=4)


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.mark.parametrize("axes", [[3], [-1], [2, 3], [-2, -1], [1, 2, 3], [1], [0, 2], None])
def test_layer_norm(axes):
    """Axes in front too: torch normalises the last ones, so they are brought there and back."""
    over = list(range(4)) if axes is None else sorted(a % 4 for a in axes)
    order = [a for a in range(4) if a not in over] + over
    sides = [X.shape[a] for a in over]
    gamma, beta = normal(*sides, seed=1), normal(*sides, seed=2)
    for scale, shift, given in ((gamma, beta, {"epsilon": 0.3}), (gamma, None, {"epsilon": 1e-2}), (None, beta, {})):
        want = F.layer_norm(
            torch.from_numpy(X.transpose(order).copy()),
            sides,
            None if scale is None else torch.from_numpy(scale),
            None if shift is None else torch.from_numpy(shift),
            given.get("epsilon", 1e-5),
        )
        got = call("layer_norm", x=X, axes=axes, gamma=scale, beta=shift, **given)
        close(got, want.numpy().transpose(np.argsort(order)), "executor")


@pytest.mark.parametrize("x", [X, X[..., 0].copy()], ids=["image", "row"])
def test_instance_norm(x):
    """A small variance, which the ε of the default shows in."""
    x = x * np.float32(0.01)
    g, b = tensors(GAMMA, BETA)
    (tx,) = tensors(x)
    close(call("instance_norm", x=x), F.instance_norm(tx).numpy(), "executor")
    close(
        call("instance_norm", x=x, gamma=GAMMA, epsilon=0.2), F.instance_norm(tx, weight=g, eps=0.2).numpy(), "executor"
    )
    close(
        call("instance_norm", x=x, gamma=GAMMA, beta=BETA),
        F.instance_norm(tx, weight=g, bias=b).numpy(),
        "executor",
    )
    close(call("instance_norm", x=x, beta=BETA), F.instance_norm(tx, bias=b).numpy(), "executor")


@pytest.mark.parametrize("x", [X, X[..., 0].copy()], ids=["image", "row"])
def test_batch_norm(x):
    tx, m, v, g, b = tensors(x, MEAN, VARIANCE, GAMMA, BETA)
    small = VARIANCE.astype(np.float32) * np.float32(1e-4)
    close(
        call("batch_norm", x=x, mean=MEAN, variance=small),
        F.batch_norm(tx, m, torch.from_numpy(small)).numpy(),
        "executor",
    )
    for scale, shift in ((g, b), (g, None), (None, b)):
        given = {"gamma": scale is not None and GAMMA, "beta": shift is not None and BETA}
        got = call(
            "batch_norm",
            x=x,
            mean=MEAN,
            variance=VARIANCE.astype(np.float32),
            epsilon=0.3,
            **{name: array for name, array in given.items() if array is not False},
        )
        close(got, F.batch_norm(tx, m, v.float(), scale, shift, eps=0.3).numpy(), "executor")


def test_l2_norm():
    """The root over the last three axes, of any rank; a small x, which the ε of the default shows in."""
    x = normal(2, 2, 3, 4, 5) * np.float32(1e-4)
    for given, epsilon in (({}, 1e-6), ({"epsilon": 1e-3}, 1e-3)):
        want = [[image / np.sqrt((image.astype(np.float64) ** 2).sum() + epsilon) for image in images] for images in x]
        close(call("l2_norm", x=x, **given), want, "executor")


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_norm(size):
    (tx,) = tensors(X)
    want = F.local_response_norm(tx, size, alpha=0.7, beta=0.6, k=2.0).numpy()
    close(call("local_response_norm", x=X, size=size, alpha=0.7, beta=0.6, k=2.0), want, "executor")
    loud = X * np.float32(100)
    close(call("local_response_norm", x=loud, size=size), F.local_response_norm(100 * tx, size).numpy(), "executor")
    assert needs("local_response_norm", x=X, size=size) == 2 * 5 * 3 * (4 + size)


def test_local_response_norm_over_an_even_number_of_channels():
    """Of two channels the second is the one behind."""
    squares = np.pad(X.astype(np.float64) ** 2, [(0, 0), (0, 1), (0, 0), (0, 0)])
    want = X / (1 + 0.5 * (squares[:, :-1] + squares[:, 1:]))
    close(call("local_response_norm", x=X, size=2, alpha=1.0, beta=1.0), want, "executor")


def test_a_vector_must_fit_its_channels():
    with pytest.raises(ValueError, match="reshape"):
        call("batch_norm", x=X, mean=MEAN[:3], variance=VARIANCE)
