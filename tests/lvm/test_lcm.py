"""What is particular to the concept model: its normaliser, its diffusion mode, guidance and seeds."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn, optimizers
from mlx.utils import tree_flatten, tree_map

from tests.lvm.forms import reads_alike, sees_no_future
from tests.tolerances import close
from wotd_mlx.lvm import build, preset
from wotd_mlx.schemas import WotdError

DIMS = 24


def two_tower(**changes):
    """A small one whose modulators, zero at the start, are random, so that each branch tells."""
    settings = {"width": 32, "inner": 64, "dropout": 0.0, "noise_steps": 20, "sample_steps": 4, **changes}
    mx.random.seed(0)
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, mode="two-tower", **settings))
    for layer in model.tower.denoiser.layers:
        layer.modulation.weight = mx.random.normal(layer.modulation.weight.shape) * 0.2
    mx.eval(model.parameters())
    return model.eval()


def vectors(batch, length, seed=1):
    return mx.random.normal((batch, length, DIMS), key=mx.random.key(seed))


SETTINGS = [{}, {"predicts": "v", "schedule": "sigmoid"}, {"guidance": 2.0, "guidance_rescale": 0.7, "eta": 1.0}]


@pytest.mark.parametrize("changes", SETTINGS)
def test_two_tower_forms_agree_and_see_no_future(changes):
    model = two_tower(**changes)
    reads_alike(model, vectors(3, 11), [6])
    sees_no_future(model, vectors(2, 9), 5)


def test_training_denoises_what_sampling_denoises():
    """One attention mask is drawn in training, another way of reading contexts in sampling: both see the same."""
    model, x = two_tower(), vectors(2, 6)
    contexts, _ = model.contexts(x)
    denoiser = model.tower.denoiser
    noisy, t, known = vectors(2, 6, seed=3), mx.array([[7]]), denoiser.read(contexts)
    mask = mx.tril(mx.ones((6, 7), mx.bool_), 1)[None, None]
    close(denoiser(noisy, t, known, mask), denoiser(noisy, t, known), "sum_order")


def test_a_seed_gives_one_vector_and_another_seed_another():
    model, x = two_tower(eta=1.0), vectors(2, 5)
    once, again, other = (model.draw(x, mx.random.key(seed))[0] for seed in (1, 1, 2))
    close(again, once, "exact")
    assert mx.abs(other - once).max().item() > 0.1
    loss = [model.loss(x, vectors(2, 5, 4), mx.random.key(seed)).item() for seed in (1, 1, 2)]
    assert loss[0] == loss[1] != loss[2]


def test_guidance_of_one_and_a_context_that_tells_nothing_change_nothing():
    """Without a context, given and free predictions are one, whatever the guidance."""
    plain, strong = two_tower(), two_tower(guidance=3.0)
    x = vectors(1, 4)
    assert mx.abs(plain(x)[0] - strong(x)[0]).max().item() > 1e-3
    for model in (plain, strong):
        for layer in model.tower.denoiser.layers:
            layer.attention.out.weight = mx.zeros_like(layer.attention.out.weight)
    close(strong(x)[0], plain(x)[0], "forms")


@pytest.mark.parametrize("mode", ["base", "two-tower"])
def test_its_own_loss_falls(mode):
    mx.random.seed(0)
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, width=32, inner=64, depth=2, mode=mode)).train()
    x, target = vectors(4, 8), vectors(4, 8, seed=2)
    optimizer = optimizers.Adam(5e-3)
    loss_and_gradient = nn.value_and_grad(model, model.loss)
    losses = []
    for _ in range(40):
        loss, gradients = loss_and_gradient(x, target)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert "centre" not in dict(tree_flatten(gradients))


def test_the_normaliser_is_robust_saved_and_never_trained(tmp_path):
    rng = np.random.default_rng(0)
    x = 3 + 0.5 * rng.normal(size=(40_000, DIMS))
    x[:100] = 1e6
    x[:, 5] = 7.0
    model = build("lcm", preset("lcm", "tiny", dims=DIMS))
    model.fit_normaliser(mx.array(x.astype("float32")))
    wanted = np.where(np.arange(DIMS) == 5, 1.0, 0.5)
    close(model.spread, wanted, "sampled_mean")
    close(model.centre, np.where(np.arange(DIMS) == 5, 7.0, 3.0), "sampled_mean")
    close(model.denormalise(model.normalise(vectors(1, 3))), vectors(1, 3), "sum_order")

    model.save_weights(str(tmp_path / "w.safetensors"))
    other = build("lcm", preset("lcm", "tiny", dims=DIMS))
    other.load_weights(str(tmp_path / "w.safetensors"))
    close(other.spread, model.spread, "exact")
    other.unfreeze()
    assert not {"centre", "spread"} & set(dict(tree_flatten(other.trainable_parameters())))


def test_units_of_the_vectors_change_nothing_but_the_units():
    """With the normaliser fitted, a model reads 10 x + 3 as x, and answers in its units."""
    mx.random.seed(0)
    model, x = build("lcm", preset("lcm", "tiny", dims=DIMS)).eval(), vectors(2, 9)
    model.fit_normaliser(x.reshape(-1, DIMS))
    y = model(x)[0]
    model.fit_normaliser((10 * x + 3).reshape(-1, DIMS))
    close(model(10 * x + 3)[0] / 10 - 0.3, y, "forms")


def test_a_wrong_setting_is_refused():
    with pytest.raises(WotdError, match="lcm mode is 'three', expected 'base' or 'two-tower'"):
        preset("lcm", "tiny", mode="three")
    with pytest.raises(WotdError, match="lcm predicts is 'noise', expected 'x0' or 'v'"):
        preset("lcm", "tiny", predicts="noise")
    with pytest.raises(WotdError, match="sample_steps is 200, expected noise_steps, 100, at most"):
        preset("lcm", "tiny", sample_steps=200)


def test_blocks_are_the_model():
    mx.random.seed(0)
    model, h = build("lcm", preset("lcm", "tiny", dims=DIMS)).eval(), vectors(2, 9)
    whole = model(h)[0]
    for block in model.blocks():
        h, _ = block(h)
    close(h, whole, "exact")
    with pytest.raises(WotdError, match="two-tower mode is no chain of blocks"):
        two_tower().blocks()


def test_a_new_denoiser_layer_is_the_identity():
    model = build("lcm", preset("lcm", "tiny", dims=DIMS, mode="two-tower")).eval()
    denoiser = model.tower.denoiser
    h = mx.random.normal((1, 3, denoiser.norm.weight.shape[0]), key=mx.random.key(0))
    known = denoiser.read(h)
    assert all(mx.array_equal(layer(h, h, kv, None), h) for layer, kv in zip(denoiser.layers, known, strict=True))


def test_a_bfloat16_model_answers_in_fp32_arithmetic():
    """Rounded weights, exact sums: the answer is that of the rounded weights in fp32."""
    mx.random.seed(0)
    model, x = build("lcm", preset("lcm", "tiny", dims=DIMS)).eval(), vectors(1, 5)
    model.update(tree_map(lambda w: w.astype(mx.bfloat16), model.trainable_parameters()))
    y = model(x)[0]
    assert y.dtype == mx.float32
    model.update(tree_map(lambda w: w.astype(mx.float32), model.trainable_parameters()))
    close(y, model(x)[0], "sum_order")
