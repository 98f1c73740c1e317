"""FSQ and RVQ: what the mathematics promises, and agreement with vector-quantize-pytorch."""

from __future__ import annotations

import itertools
import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.codes.autoencoder import build_quantizer
from wotd_mlx.codes.base import Quantizer
from wotd_mlx.codes.fsq import FSQ
from wotd_mlx.codes.rvq import RVQ
from wotd_mlx.config import CodesConfig

KINDS = ("fsq", "rvq")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def small(kind: str) -> Quantizer:
    """A quantiser of 4·4·4·4 codes, started on 2,000 latents 8 wide (FSQ: 4)."""
    mx.random.seed(0)
    quantizer = build_quantizer(CodesConfig(kind, (4, 4, 4, 4), latent=8, gradient="straight-through"), 8)
    quantizer.start(normal(2000, quantizer.width), seed=0)
    return quantizer


@pytest.mark.parametrize("levels", [(2,), (3, 3, 3), (2, 5), (8, 5, 5, 5), (8, 8, 8, 5)])
def test_every_fsq_id_has_one_code_and_comes_back(levels):
    fsq = FSQ(levels)
    ids = mx.array(list(itertools.product(*map(range, levels))), dtype=mx.int32)
    codes = fsq.ids_to_codes(ids)
    assert len(ids) == math.prod(levels) == round(2**fsq.bits)
    assert len(np.unique(np.array(codes), axis=0)) == len(ids)
    close(fsq.codes_to_ids(codes), ids, "ids")
    assert float(mx.abs(codes).max()) <= 1


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.integers(0, 2**31))
@settings(max_examples=40)
def test_any_fsq_levels_give_ids_in_range_that_round_trip(levels, seed):
    fsq = FSQ(levels)
    codes = fsq(mx.array(normal(64, len(levels), seed=seed) * 4))
    ids = np.array(codes.ids)
    assert (ids >= 0).all()
    assert (ids < np.array(levels)).all()
    close(fsq.ids_to_codes(codes.ids), codes.quantized, "exact")


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_what_the_ids_stand_for(kind):
    quantizer = small(kind)
    codes = quantizer(mx.array(normal(300, quantizer.width, seed=1)))
    close(quantizer.ids_to_codes(codes.ids), codes.quantized, "sum_order")
    close(quantizer.codes_to_ids(codes.quantized) if kind == "fsq" else codes.ids, codes.ids, "ids")


def test_each_level_takes_the_nearest_code_and_lowers_the_error():
    q = RVQ((6, 5, 4), 8)
    z = normal(500, 8)
    q.start(z, seed=0)
    ids = np.array(q(mx.array(z)).ids)
    residual, errors = z.copy(), [np.square(z).sum()]
    for level, book in enumerate(map(np.array, q.books)):
        distances = np.square(residual[:, None] - book).sum(axis=2)
        chosen = distances[np.arange(len(z)), ids[:, level]]
        assert (chosen <= distances.min(axis=1) + 1e-4).all()
        residual = residual - book[ids[:, level]]
        errors.append(np.square(residual).sum())
    assert errors == sorted(errors, reverse=True)


def test_learning_moves_codes_to_the_mean_of_what_chose_them():
    q = RVQ((4, 4), 3, ema=0.0)
    z = normal(800, 3)
    q.start(z, seed=0)
    ids = q(mx.array(z)).ids
    q.learn(mx.array(z), ids)
    chosen = np.array(ids)[:, 0]
    want = np.stack([z[chosen == k].mean(axis=0) for k in range(4)])
    close(q.books[0], want, "sum_order")


def test_dead_codes_come_back_to_life():
    q = RVQ((8,), 4)
    z = normal(500, 4)
    q.start(z, seed=0)
    book = np.array(q.books[0])
    book[3:] = 1e3
    q.books[0] = mx.array(book)
    assert len(np.unique(np.array(q(mx.array(z)).ids))) <= 3
    assert q.restart_dead_codes(z, seed=1) == 5
    assert len(np.unique(np.array(q(mx.array(z)).ids))) == 8
    assert q.restart_dead_codes(z, seed=2) == 0


def test_start_with_fewer_vectors_than_codes_and_with_constant_ones():
    for z in (normal(3, 8), np.ones((50, 8), np.float32)):
        quantizer = RVQ((4, 4), 8)
        quantizer.start(z, seed=0)
        codes = quantizer(mx.array(z))
        assert np.isfinite(np.array(codes.quantized)).all()
        close(codes.quantized, z, "sum_order")


@pytest.mark.parity
@pytest.mark.parametrize("levels", [(3, 3, 3), (8, 5, 5, 5), (8, 8, 8, 5), (4, 7)])
def test_fsq_matches_vector_quantize_pytorch(levels):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("vector_quantize_pytorch").FSQ(list(levels))
    z, weights = normal(2, 200, len(levels)), normal(400, len(levels), seed=1)
    theirs = torch.from_numpy(z).requires_grad_()
    want, want_ids = reference(theirs)
    (want.reshape(400, -1) * torch.from_numpy(weights)).sum().backward()
    fsq, ours = FSQ(levels), mx.array(z.reshape(400, -1))
    got = fsq(ours)
    basis = np.concatenate([[1], np.cumprod(levels[:-1])])  # theirs is one number, the first coordinate fastest
    close((np.array(got.ids) * basis).sum(axis=1), want_ids.numpy().ravel(), "ids")
    close(got.quantized, want.detach().numpy().reshape(400, -1), "torch")
    gradient = mx.grad(lambda z: (fsq(z).quantized * mx.array(weights)).sum())(ours)
    close(gradient, theirs.grad.numpy().reshape(400, -1), "torch")


@pytest.mark.parity
@pytest.mark.parametrize("levels", [(16, 16, 16, 16), (32, 8, 4)])
def test_rvq_matches_vector_quantize_pytorch(levels):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("vector_quantize_pytorch")
    width, z, weights = 12, normal(300, 12), normal(300, 12, seed=1)
    reference = library.ResidualVQ(
        dim=width,
        codebook_size=tuple(levels),
        rotation_trick=False,
        straight_through=False,
        commitment_weight=1.0,
    )
    mx.random.seed(0)
    rvq = RVQ(levels, width)
    rvq.start(z, seed=0)
    for layer, book in zip(reference.layers, rvq.books, strict=True):
        layer._codebook.embed.data.copy_(torch.from_numpy(np.array(book)[None]))
        layer._codebook.initted.data.fill_(True)
    theirs = torch.from_numpy(z[None]).requires_grad_()
    want, want_ids, losses = reference.train()(theirs, freeze_codebook=True)
    got = rvq(mx.array(z))
    close(got.ids, want_ids[0].numpy(), "ids")
    close(got.quantized, want[0].detach().numpy(), "torch")
    # Theirs is a mean over the width and per level; ours a sum over the width, mean over levels.
    close(got.loss / width, losses.mean().item(), "torch")

    (want[0] * torch.from_numpy(weights)).sum().backward(retain_graph=True)
    gradient = mx.grad(lambda z: (rvq(z).quantized * mx.array(weights)).sum())(mx.array(z))
    # Theirs passes the gradient once for each of Q levels, ours once: the identity that both stand for.
    close(np.array(gradient), theirs.grad[0].numpy() / len(levels), "torch")

    theirs.grad = None
    losses.mean().backward()
    commitment = mx.grad(lambda z: rvq(z).loss / width)(mx.array(z))
    close(commitment, theirs.grad[0].numpy(), "torch")
