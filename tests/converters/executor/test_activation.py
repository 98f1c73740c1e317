"""Activations against torch, or their formula in float64 where torch has none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.executor.calls import call, normal
from tests.tolerances import close

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

# Both sides of zero, zero itself, where a clip bites, and far out.
X = np.concatenate([3 * normal(2, 4, 6).reshape(-1), [0, 0.4, 0.7, -0.7, 6, 7, 30, -30]]).astype(np.float32)
X = X.reshape(2, 4, 7)
A, B = np.array([0.5, 1.5, -0.25, 2], np.float32), np.array([1, 0.5, 2, -1], np.float32)
X64 = X.astype(np.float64)
BY_TORCH = {
    "relu": ({}, torch.relu),
    "relu6": ({}, F.relu6),
    "sigmoid": ({}, torch.sigmoid),
    "silu": ({}, F.silu),
    "gelu": ({}, F.gelu),
    "gelu exact": ({"mode": "EXACT"}, F.gelu),
    "gelu tanh": ({"mode": "TANH_APPROXIMATION"}, lambda x: F.gelu(x, approximate="tanh")),
    "gelu sigmoid": ({"mode": "SIGMOID_APPROXIMATION"}, lambda x: x * torch.sigmoid(1.702 * x)),
    "leaky_relu": ({"alpha": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
    "prelu": ({"alpha": A}, lambda x: F.prelu(x, torch.from_numpy(A))),
    "elu": ({"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
    "softplus": ({}, F.softplus),
    "softsign": ({}, F.softsign),
    "softmax": ({}, lambda x: torch.softmax(x, -1)),
    "softmax axis": ({"axis": 1}, lambda x: torch.softmax(x, 1)),
}
BY_FORMULA = {
    "softplus_parametric": ({"alpha": A, "beta": B}, A[:, None] * np.log1p(np.exp(B[:, None] * X64))),
    "clamped_relu": ({"alpha": 0.5, "beta": 0.7}, np.where(X64 >= 0, np.minimum(X64, 0.7), np.minimum(0.5 * X64, 0.7))),
    "clamped_relu below": (
        {"alpha": -2.0, "beta": 0.7},
        np.where(X64 < 0, np.minimum(-2 * X64, 0.7), np.minimum(X64, 0.7)),
    ),
    "thresholded_relu": ({"alpha": np.float32(0.4)}, np.where(np.float32(0.4) <= X, X64, 0)),
    "linear_activation": ({"alpha": 2.0, "beta": -1.5}, 2 * X64 - 1.5),
    "scaled_tanh": ({"alpha": 1.7, "beta": 0.6}, 1.7 * np.tanh(0.6 * X64)),
    "sigmoid_hard": ({"alpha": 0.3, "beta": 0.4}, np.clip(0.3 * X64 + 0.4, 0, 1)),
}


@pytest.mark.parametrize("name", BY_TORCH)
def test_torch_has_it(name):
    given, function = BY_TORCH[name]
    close(call(name.partition(" ")[0], x=X, **given), function(torch.from_numpy(X)).numpy(), "executor")


@pytest.mark.parametrize("name", BY_FORMULA)
def test_formula(name):
    given, want = BY_FORMULA[name]
    close(call(name.partition(" ")[0], x=X, **given), want, "executor")


def test_unknown_gelu_is_refused():
    with pytest.raises(ValueError, match="unknown mode 'TANH'; known are EXACT, TANH_APPROXIMATION and SIGMOID_"):
        call("gelu", x=X, mode="TANH")


def test_a_slope_for_each_channel():
    with pytest.raises(ValueError, match="reshape"):
        call("prelu", x=X, alpha=A[:3])
