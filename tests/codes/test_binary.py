"""Binary codes: bits and bytes by hand, the geometry that is promised, ITQ itself, and what scaling is for."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codes.test_detail import decaying
from tests.tolerances import close
from wotd_mlx.codes import binary
from wotd_mlx.codes.axes import nearest_rotation, principal_axes, turned_axes
from wotd_mlx.codes.binary import Binary
from wotd_mlx.config.codes import byte_levels


def fitted(bits: int = 20, z: np.ndarray | None = None) -> Binary:
    quantizer = Binary(byte_levels(bits), 32)
    quantizer.start(decaying(2000) if z is None else z, seed=0)
    return quantizer


@given(st.integers(1, 70), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_ids_hold_the_signs_eight_to_a_number(bits, seed):
    quantizer = Binary(byte_levels(bits), 3)
    rng = np.random.default_rng(seed)
    quantizer.into = mx.array(rng.normal(size=(3, bits)), mx.float32)
    z = rng.normal(size=(9, 3)).astype(np.float32)
    positive = np.asarray(quantizer.products(mx.array(z))) > 0
    ids = quantizer.codes_to_ids(mx.array(z))
    close(ids, np.packbits(positive, axis=1, bitorder="little"), "ids")
    close(quantizer.signs(ids), np.where(positive, 1, -1), "exact")


@pytest.mark.parametrize("bits", [7, 20, 32])
def test_bits_that_differ_tell_the_angle_of_decoded_vectors(bits):
    """Also by a third party's Hamming index, on the IDs' numbers as bytes."""
    import faiss

    quantizer = fitted(bits)
    ids = quantizer.codes_to_ids(mx.array(decaying(300, seed=1)))
    packed = np.ascontiguousarray(np.asarray(ids).astype(np.uint8))
    index = faiss.IndexBinaryFlat(8 * packed.shape[1])
    index.add(packed)
    apart, found = index.search(packed[:20], 50)
    back = np.asarray(quantizer.ids_to_codes(ids), np.float64)
    unit = back / np.linalg.norm(back, axis=1, keepdims=True)
    close((unit[:20, None] * unit[found]).sum(axis=2), 1 - 2 * apart / bits, "sum_order")


def test_no_orthonormal_way_back_has_less_error():
    quantizer, z = fitted(), decaying(2000)
    signs = np.asarray(quantizer.signs(quantizer.codes_to_ids(mx.array(z))), np.float64)
    back = np.asarray(quantizer.back, np.float64)
    length = np.linalg.norm(back[0])
    close(back @ back.T, length**2 * np.eye(20), "sum_order")
    error = np.square(z - signs @ back).sum()
    for scale in (0.98, 1.02):
        assert np.square(z - scale * signs @ back).sum() > error
    for seed in range(20):
        turned = nearest_rotation(back + 0.05 * length * np.random.default_rng(seed).normal(size=back.shape))
        assert np.square(z - length * signs @ turned).sum() > error


def test_without_scaling_it_is_itq():
    """As near to its signs as FAISS's, from another random start."""
    import faiss

    z = decaying(4000)
    peer = faiss.ITQTransform(32, 12, True)
    peer.train(z)
    into = faiss.vector_to_array(peer.pca_then_itq.A).reshape(12, 32).T

    def left(into: np.ndarray) -> float:
        products = z @ into
        return float(np.square(products - np.abs(products).mean() * np.sign(products)).sum())

    found = [left(turned_axes(z, 12, 0.0, seed)) for seed in range(4)]
    assert min(found) < 1.01 * left(into)
    assert max(found) < 1.03 * left(into)


def test_scaling_gives_each_axis_its_share():
    z = decaying(3000)
    variances, axes = principal_axes(z, 12)
    close(variances, np.sort(np.linalg.eigvalsh(z.T @ z / len(z)))[::-1][:12], "sum_order")
    for whiten in (0.0, 0.25, 1.0):
        gram = turned_axes(z, 12, whiten, 0).astype(np.float64)
        close(axes.T @ gram @ gram.T @ axes, np.diag(variances**-whiten), "sum_order")


def test_likeness_of_pairs_survives_better_than_by_as_many_random_signs():
    z, other = decaying(2000, seed=2), decaying(2000, seed=3)
    pairs = z, z + np.linspace(0, 2, len(z), dtype=np.float32)[:, None] * other
    true = (pairs[0] * pairs[1]).sum(axis=1) / np.prod([np.linalg.norm(v, axis=1) for v in pairs], axis=0)
    quantizer, rng = fitted(24), np.random.default_rng(0)
    random = rng.normal(size=(32, 24))

    def kept(code) -> float:
        return float(np.corrcoef((code(pairs[0]) * code(pairs[1])).sum(axis=1), true)[0, 1])

    ours = kept(lambda v: np.asarray(quantizer.signs(quantizer.codes_to_ids(mx.array(v)))))
    assert ours > kept(lambda v: np.sign(v @ random)) + 0.01


@pytest.mark.parametrize("z", [decaying(3), decaying(1), np.full((50, 32), 0.1, "f"), np.zeros((9, 32), "f")])
@pytest.mark.parametrize("bits", [5, 40])
def test_few_or_constant_vectors_and_more_bits_than_axes(z, bits):
    quantizer = fitted(bits, z)
    back = np.asarray(quantizer.ids_to_codes(quantizer.codes_to_ids(mx.array(z))))
    assert np.isfinite(back).all()


def test_the_seed_alone_decides():
    z = decaying(500)
    same, again, other = (turned_axes(z, 12, binary.WHITEN, seed) for seed in (0, 0, 1))
    close(same, again, "exact")
    assert np.abs(same - other).max() > 0.01
