"""Random features estimate softmax without bias, and nothing is ever divided by 0."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.performer import key_features, linear_attention, orthogonal_gaussian, query_features


def model(**changes):
    mx.random.seed(0)
    made = build("performer", preset("performer", "tiny", dims=24, **changes)).eval()
    mx.eval(made.parameters())
    return made


def test_directions_are_orthogonal_in_blocks_and_normal_in_length():
    omega = orthogonal_gaussian(20, 8)
    lengths = mx.linalg.norm(omega, axis=-1, keepdims=True)
    unit = omega / lengths
    for start, stop in ((0, 8), (8, 16), (16, 20)):
        block = unit[start:stop]
        close(block @ block.T, mx.eye(stop - start), "sum_order")
    assert mx.abs(unit[:8] @ unit[8:16].T).max().item() > 0.1
    assert lengths.max().item() > 1.2 * lengths.min().item()


def test_directions_point_everywhere_alike():
    """The Q of a QR decomposition does not, as it comes from LAPACK: its first column leans to one side."""
    mx.random.seed(0)
    omega = orthogonal_gaussian(40_000, 4)
    unit = omega / mx.linalg.norm(omega, axis=-1, keepdims=True)
    close(unit.reshape(-1, 4, 4).mean(axis=0), mx.zeros((4, 4)), "sampled_mean")


def test_features_estimate_the_softmax_kernel_without_bias():
    """E[φ(q)·φ(k)] = exp(q·k), by 40,000 directions; a query's scale, which cancels in attention, is put back."""
    mx.random.seed(0)
    omega = orthogonal_gaussian(40_000, 8)
    q, k = (0.12 * mx.random.normal((1, 8), key=mx.random.key(i)) for i in range(2))
    seen = query_features(q, omega, 0.0) * mx.exp((q @ omega.T).max())
    close((seen * key_features(k, omega, 0.0)).mean(), mx.exp((q * k).sum()), "sampled_mean")


def test_many_features_give_softmax_attention():
    mx.random.seed(0)
    q, k, v = (0.3 * mx.random.normal((1, 2, 12, 8), key=mx.random.key(i)) for i in range(3))
    scores = mx.where(mx.tri(12, dtype=mx.bool_), q @ k.swapaxes(-1, -2), -mx.inf)
    omega = orthogonal_gaussian(20_000, 8)
    out, _ = linear_attention(query_features(q, omega, 0.0), key_features(k, omega, 0.0), v, None, 64)
    close(out, mx.softmax(scores, axis=-1) @ v, "sampled_mean")


def test_a_heavy_vector_is_not_seen_before_its_time():
    """A later key whose features are e²⁰ times the others' leaves no rounding at earlier places of other chunks."""
    omega = 3.0 * mx.random.normal((16, 4), key=mx.random.key(0))
    q, k, v = (mx.random.normal((1, 1, 12, 4), key=mx.random.key(i)) for i in range(1, 4))
    heavy = mx.concatenate([k[..., :8, :], omega[:4][None, None]], axis=2)
    assert key_features(heavy, omega, 0.0).max().item() > np.exp(15)
    queries = query_features(q, omega, 1e-4)
    light_out, heavy_out = (
        linear_attention(queries, key_features(keys, omega, 1e-4), v, None, 4)[0] for keys in (k, heavy)
    )
    close(heavy_out[..., :8, :], light_out[..., :8, :], "exact")


def test_vectors_of_any_length_give_numbers():
    """Where every feature vanishes in fp32, ε stays, and attention falls back to the mean."""
    made = model()
    for scale in (0.0, 1e-6, 1e3, 1e6):
        x = scale * mx.random.normal((1, 9, 24), key=mx.random.key(3))
        for part in (made.layers[0].attention.query, made.layers[0].attention.key):
            part.weight = part.weight * 30

        def loss(parameters, x):
            made.update(parameters)
            return made(x)[0].sum()

        value, gradients = mx.value_and_grad(loss)(made.trainable_parameters(), x)
        assert all(mx.isfinite(g).all().item() for _, g in [("", value), *tree_flatten(gradients)])


def test_directions_are_kept_and_not_trained():
    made = model()
    trained = dict(tree_flatten(made.trainable_parameters()))
    kept = dict(tree_flatten(made.parameters()))
    assert kept.keys() - trained.keys() == {f"layers.{i}.attention.directions" for i in range(2)}
