"""RetNet against its paper's recurrence in complex float64, since the third party's had to be mended."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from scipy.special import erf

from tests.tolerances import close
from wotd_mlx.lvm import build, preset

pytestmark = pytest.mark.parity


def paper(weights, cfg, x):
    """S_n = γ S_{n−1} + k_nᵀ v_n, o_n = Re(q_n S_n) with q_n, k_n turned by e^{±inθ} (equations 1 to 8)."""
    get = {name: np.array(weight, dtype=np.float64) for name, weight in weights}
    B, L, _ = x.shape
    H, K = cfg.heads, cfg.width // cfg.heads
    gamma = (1 - 2.0 ** (-5 - np.arange(H)))[:, None, None]
    wave = np.exp(1j * np.arange(L)[:, None, None] * 10000.0 ** -np.linspace(0, 1, K // 2))

    def norm(y, name=None):
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
        return y if name is None else y * get[f"{name}.weight"] + get[f"{name}.bias"]

    def linear(y, name):
        return y @ get[f"{name}.weight"].T + get.get(f"{name}.bias", 0.0)

    x = linear(x.astype(np.float64), "embed")
    for i in range(cfg.depth):
        at = f"layers.{i}"
        y = norm(x, f"{at}.retention_norm")
        q, k, v = (linear(y, f"{at}.retention.{part}").reshape(B, L, H, -1) for part in ("query", "key", "value"))
        q, k = ((part[..., : K // 2] + 1j * part[..., K // 2 :]) * wave for part in (q, k))
        state, rows = np.zeros((B, H, K // 2, v.shape[-1]), complex), []
        for t in range(L):
            state = gamma * state + (k[:, t].conj() / K**0.5)[..., None] * v[:, t, :, None, :]
            rows.append(norm((q[:, t, :, None, :] @ state).real[:, :, 0]).reshape(B, -1))
        gate = linear(y, f"{at}.retention.gate")
        x = x + linear(gate / (1 + np.exp(-gate)) * np.stack(rows, axis=1), f"{at}.retention.out")
        inner = linear(norm(x, f"{at}.feed_norm"), f"{at}.up")
        x = x + linear(inner * (1 + erf(inner / 2**0.5)) / 2, f"{at}.down")
    return linear(norm(x, "norm"), "head")


@pytest.mark.parametrize(("chunk", "length"), [(128, 40), (16, 40)])
def test_outputs_are_the_papers(chunk, length):
    mx.random.seed(0)
    cfg = preset("retnet", "tiny", dims=24, chunk=chunk)
    model = build("retnet", cfg).eval()
    x = np.random.default_rng(0).normal(size=(2, length, 24)).astype("float32")
    close(model(mx.array(x))[0], paper(tree_flatten(model.parameters()), cfg, x), "paper")
