"""The causal Linformer against the paper's equation in float64 and against the package's own layer."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.linformer import slot_attention

pytestmark = pytest.mark.parity


def test_attention_is_the_papers():
    """softmax(q_t (E K)ᵀ / √W) F V at each position t, K and V being 0 after it, in float64."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 2, 3, 19, 8))
    e, f = rng.normal(size=(2, 19, 6))
    want = np.zeros_like(v)
    for b, h, t in np.ndindex(2, 3, 19):
        known = (np.arange(19) <= t)[:, None]
        scores = e.T @ (k[b, h] * known) @ q[b, h, t] / np.sqrt(8)
        weights = np.exp(scores - scores.max())
        want[b, h, t] = weights / weights.sum() @ (f.T @ (v[b, h] * known))
    q, k, v, e, f = (mx.array(a.astype("float32")) for a in (q, k, v, e, f))
    for chunk in (5, 64):
        got, _ = slot_attention(q, k, v, (e, f), None, chunk, nn.Dropout(0.0))
        close(got, want, "paper")


@pytest.fixture
def reference():
    torch = pytest.importorskip("torch")
    pytest.importorskip("linformer")
    from converters.torch.linformer import Reference

    torch.manual_seed(0)
    return lambda cfg, **how: Reference(cfg, **how).eval()


def test_the_last_position_of_a_full_sequence_is_the_packages(reference):
    """With as many vectors as there are positions, the package's layer as it stands, which sees the whole sequence."""
    import torch

    cfg = preset("linformer", "tiny", dims=24, longest=29)
    theirs = reference(cfg).blocks.layers[0][0].fn
    ours = build("linformer", cfg).layers[0].attention
    ours.load_weights(
        [
            (mine, mx.array(weight.detach().numpy()))
            for mine, weight in {
                "query.weight": theirs.to_q.weight,
                "key.weight": theirs.to_k.weight,
                "value.weight": theirs.to_v.weight,
                "out.weight": theirs.to_out.weight,
                "out.bias": theirs.to_out.bias,
                "key_rows": theirs.proj_k,
                "value_rows": theirs.proj_v,
            }.items()
        ]
    )
    ours.eval()
    x = np.random.default_rng(0).normal(size=(2, 29, cfg.width)).astype("float32")
    whole = theirs(torch.tensor(x)).detach().numpy()
    got, _ = ours(mx.array(x), None, 0)
    close(got[:, -1], whole[:, -1], "reference")
    assert np.abs(np.array(got)[:, 0] - whole[:, 0]).max() > 1e-2


def test_the_fast_reference_is_the_loop_over_prefixes(reference):
    import torch

    cfg = preset("linformer", "tiny", dims=24)
    slow, fast = reference(cfg), reference(cfg, fast=True)
    fast.load_state_dict(slow.state_dict())
    x = torch.randn(2, 13, 24)
    close(fast(x).detach().numpy(), slow(x).detach().numpy(), "reference")
    for model in (slow, fast):
        model(x).square().mean().backward()
    for (name, a), (_, b) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        assert a.grad is not None, name
        close(a.grad.numpy(), b.grad.numpy(), "reference")
