"""The autoencoder around a quantiser, against NumPy: its linear start, its skip path, its heads, detail on top."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.codes.autoencoder import Autoencoder, OrdinalHead, SkipMLP, build_detail, build_quantizer
from wotd_mlx.config import CodesConfig
from wotd_mlx.schemas import Attribute, WotdError

ATTRIBUTES = (Attribute("size", ("small", "large")), Attribute("hue", ("red", "green", "blue")))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def data(n: int = 300, dims: int = 7) -> np.ndarray:
    """Vectors (n, dims) off the origin, of another spread in each of mixed directions."""
    return (normal(n, dims) * np.linspace(3, 0.2, dims)) @ normal(dims, dims, seed=1) + normal(dims, seed=2)


def test_the_skip_path_adds_to_a_hidden_layer():
    mlp = SkipMLP(5, 4, 3)
    close(mlp(mx.array(normal(6, 5))), normal(6, 5) @ np.array(mlp.linear.weight).T, "sum_order")
    mlp.down.weight, mlp.down.bias = mx.array(normal(3, 4, seed=1)), mx.array(normal(3, seed=2))
    w, b = np.array(mlp.up.weight), np.array(mlp.up.bias)
    hidden = np.maximum(normal(6, 5) @ w.T + b, 0) @ normal(3, 4, seed=1).T + normal(3, seed=2)
    close(mlp(mx.array(normal(6, 5))), normal(6, 5) @ np.array(mlp.linear.weight).T + hidden, "sum_order")
    assert set(SkipMLP(5, 0, 3).parameters()) == {"linear"}


@pytest.mark.parametrize(("values", "centres"), [(1, [0]), (2, [-1, 1]), (4, [-1, -1 / 3, 1 / 3, 1])])
def test_ordinal_logits_fall_with_the_square_of_the_distance_to_a_value_s_centre(values, centres):
    scalars = np.array([[-0.9], [0.1], [0.7]], np.float32)
    close(OrdinalHead(values)(mx.array(scalars)), -4.0 * (scalars - np.array(centres)) ** 2, "sum_order")


@pytest.mark.parametrize(("kind", "latent", "width"), [("fsq", 0, 3), ("rvq", 5, 5), ("hvq", 4, 4), ("hvq", 0, 7)])
def test_it_starts_as_the_best_linear_code(kind, latent, width):
    x = data().astype(np.float32)
    cfg = CodesConfig(kind, (4, 3, 6), latent=latent, hidden=8, neighbour_weight=0.7)
    model = Autoencoder(7, cfg, ATTRIBUTES)
    model.start(x, seed=0)
    centred = (x - x.mean(axis=0)).astype(np.float64)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    scale, top = np.sqrt((centred**2).sum() / centred.size), axes[:width]
    top = top * np.sign(top[np.arange(width), np.abs(top).argmax(axis=1)])[:, None]
    variances = singular[:width] ** 2 / len(x) / scale**2
    gain = {
        "fsq": 1 / np.sqrt(variances),
        "rvq": np.ones(width),
        "hvq": np.sqrt(1 + 0.7 * variances / variances.mean()),
    }[kind]
    z = np.array(model.latents(mx.array(x)))
    close(z, centred @ top.T / scale * gain, "eigenvectors")
    close(model.reconstruct(mx.array(z)), centred @ top.T @ top + x.mean(axis=0), "eigenvectors")


def test_latents_wider_than_the_vectors_stay_zero_beyond_them():
    x = data(100, 3).astype(np.float32)
    model = Autoencoder(3, CodesConfig("rvq", (4, 4), latent=5, hidden=8), ())
    model.start(x, seed=0)
    z = np.array(model.latents(mx.array(x)))
    close(z[:, 3:], np.zeros((100, 2)), "exact")
    close(model.reconstruct(mx.array(z)), x, "eigenvectors")


def test_each_kind_has_the_width_and_levels_that_are_asked_for():
    fsq, rvq = (build_quantizer(CodesConfig(kind, (4, 3), latent=5), 9, ATTRIBUTES) for kind in ("fsq", "rvq"))
    assert [(q.levels, q.width) for q in (fsq, rvq)] == [((4, 3), 2), ((4, 3), 5)]
    assert build_quantizer(CodesConfig("rvq", (4, 3), ema=0.7), 9).ema == 0.7
    for latent, width in ((0, 9), (5, 5), (50, 9)):
        hvq = build_quantizer(CodesConfig("hvq", (4, 3), latent=latent), 9, ATTRIBUTES)
        assert (hvq.levels, hvq.width, hvq.sizes) == ((4, 3), width, (2, 3))


@pytest.mark.parametrize("kind", ["fsq", "rvq"])
def test_a_pass_is_latents_codes_heads_and_what_comes_back(kind):
    model = Autoencoder(7, CodesConfig(kind, (4, 3, 6), latent=5, hidden=8), ATTRIBUTES)
    model.start(data().astype(np.float32), seed=0)
    x = mx.array(data(20).astype(np.float32))
    decoded, codes, logits, z = model(x)
    close(z, model.encoder((x - model.mean) / model.scale), "sum_order")
    ids = np.array(codes.ids)
    close(model.encode(x), ids, "ids")
    vectors = np.array(model.quantizer.ids_to_codes(codes.ids))
    close(decoded, np.array(model.mean) + float(model.scale) * np.array(model.decoder(mx.array(vectors))), "sum_order")
    close(model.decode(codes.ids), decoded, "sum_order")
    assert [logit.shape for logit in logits] == [(20, 2), (20, 3)]
    for a, logit in enumerate(logits):
        if kind == "fsq":
            part, centres = vectors[:, a : a + 1], np.linspace(-1, 1, 2 + a)
            close(logit, -4 * (part - centres) ** 2, "sum_order")
        else:
            part = np.array(model.quantizer.books[a])[ids[:, a]]
            close(logit, model.heads[a](mx.array(part)), "sum_order")


def test_detail_is_added_to_what_the_id_stands_for():
    model = Autoencoder(7, CodesConfig("fsq", (4, 3), detail=16), ())
    assert (model.detail.levels, model.detail.width) == ((256, 256), 7)
    x = data().astype(np.float32)
    model.start(x, seed=0)
    model.fit_detail(x, 0, lambda n: None)
    ids = model.encode(mx.array(x[:9]))
    numbers = model.encode_detail(mx.array(x[:9]), ids)
    close(numbers, model.detail.encode(mx.array(x[:9]) - model.decode(ids)), "ids")
    back = model.decode_detail(ids, numbers)
    close(back, np.array(model.decode(ids)) + np.array(model.detail.ids_to_codes(numbers)), "sum_order")
    assert np.square(x[:9] - np.array(back)).sum() < 0.5 * np.square(x[:9] - np.array(model.decode(ids))).sum()
    assert build_detail(CodesConfig(), 7) is None


def test_without_a_detail_there_is_none_to_ask_for():
    model = Autoencoder(7, CodesConfig("fsq", (4, 3)), ())
    ids = model.encode(mx.array(data(2).astype(np.float32)))
    for ask in (lambda: model.encode_detail(mx.zeros((2, 7)), ids), lambda: model.decode_detail(ids, ids)):
        with pytest.raises(WotdError, match="these codes have no detail; train them with --detail BITS"):
            ask()


def test_vectors_that_are_all_alike_start_at_a_scale_that_divides():
    model = Autoencoder(3, CodesConfig("rvq", (4, 4), latent=2, hidden=8), ())
    x = np.tile(np.array([1, -2, 3], np.float32), (20, 1))
    model.start(x, seed=0)
    close(model.scale, np.float32(1e-6), "sum_order")
    close(model.decode(model.encode(mx.array(x))), x, "sum_order")
