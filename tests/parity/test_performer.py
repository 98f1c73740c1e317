"""FAVOR+ against the paper's equations in float64, and what performer-pytorch does otherwise."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.performer import key_features, linear_attention, query_features

pytestmark = pytest.mark.parity


def test_attention_is_the_papers():
    """Lemma 1 and equation 4 at each position, over the keys up to it, in float64 and without a maximum or ε."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 3, 19, 8))
    omega = rng.normal(size=(22, 8))

    def phi(x):
        return np.exp(omega @ x - x @ x / 2) / np.sqrt(len(omega))

    want = np.zeros_like(v)
    for b, h, t in np.ndindex(2, 3, 19):
        weights = np.array([phi(q[b, h, t]) @ phi(k[b, h, s]) for s in range(t + 1)])
        want[b, h, t] = weights @ v[b, h, : t + 1] / weights.sum()
    q, k, v, omega = (mx.array(a.astype("float32")) for a in (q, k, v, omega))
    for chunk in (5, 64):
        got, _ = linear_attention(query_features(q, omega, 0.0), key_features(k, omega, 0.0), v, None, chunk)
        close(got, want, "paper")


def test_performer_pytorch_sees_its_future_and_the_reference_does_not():
    """Why the reference changes the package's keys: it would not, were this mended."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("performer_pytorch")
    from performer_pytorch import FastAttention

    from converters.torch.performer import CausalAttention
    from wotd_mlx.lvm import preset

    torch.manual_seed(0)
    cfg = preset("performer", "tiny")
    reference, package = CausalAttention(cfg), FastAttention(cfg.head_width, cfg.features, causal=True)
    q, k, v = torch.randn(3, 1, 1, 8, cfg.head_width)
    later = k.clone()
    later[..., 6:, :] *= 2
    for attention, looks_ahead in ((package, True), (reference, False)):
        change = (attention(q, later, v) - attention(q, k, v))[..., :6, :].abs().max().item()
        assert (change > 1e-4) == looks_ahead


def test_performer_pytorchs_directions_lean_to_one_side():
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("performer_pytorch.performer_pytorch")
    torch.manual_seed(0)
    drawn = torch.stack([package.gaussian_orthogonal_random_matrix(8, 8) for _ in range(200)])
    assert (drawn[:, 0, 0] <= 0).all()
