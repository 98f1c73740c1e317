"""What every quantiser promises, held to each kind."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import ALL_KINDS, KINDS, normal, small
from tests.tolerances import close
from wotd_mlx.codes.autoencoder import build_quantizer
from wotd_mlx.codes.fsq import FSQ
from wotd_mlx.codes.rvq import RVQ
from wotd_mlx.config import CodesConfig


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_vectors_are_what_the_ids_stand_for(kind):
    quantizer = small(kind)
    codes = quantizer(mx.array(normal(300, quantizer.width, seed=1)))
    close(quantizer.ids_to_codes(codes.ids), codes.quantized, "sum_order")
    close(quantizer.codes_to_ids(codes.quantized) if kind == "fsq" else codes.ids, codes.ids, "ids")


def test_bits_are_the_logarithm_of_the_number_of_ids():
    close(FSQ((8, 4, 2)).bits, 6.0, "sum_order")


def test_scalars_start_at_unit_variance_and_vectors_as_they_are():
    close(FSQ((4, 4)).component_scales(normal(2) ** 2 + 0.1), (normal(2) ** 2 + 0.1) ** -0.5, "sum_order")
    close(FSQ((4, 4)).component_scales(normal(2) * 0), [1e6, 1e6], "sum_order")
    close(RVQ((4, 4), 3).component_scales(normal(3) ** 2), [1, 1, 1], "exact")


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_the_ids_with_one_number_changed(kind):
    levels = (4, 3, 6)
    quantizer = build_quantizer(CodesConfig(kind, levels, latent=5), 7)
    z = mx.array(normal(5, quantizer.width))
    ids = quantizer(z).ids
    for own, found in zip(np.array(ids).tolist(), np.array(quantizer.candidates(z, ids)).tolist(), strict=True):
        want = {(*own[:q], n, *own[q + 1 :]) for q, k in enumerate(levels) for n in range(k) if n != own[q]}
        assert len(found) == len(want)
        assert set(map(tuple, found)) == want


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_the_codes_leave_is_the_latents_less_their_code(kind):
    quantizer = small(kind).eval()
    z = normal(9, quantizer.width, seed=5)
    left = z - np.array(quantizer.ids_to_codes(quantizer(mx.array(z)).ids))
    close(quantizer.left_over(z), left, "sum_order")


def test_what_is_not_computed_from_data_needs_no_preparation():
    quantizer = FSQ((4, 4))
    assert quantizer.restart_dead_codes(normal(9, 2), seed=0) == 0
    assert (quantizer.start(normal(9, 2), seed=0), quantizer.resize({}), quantizer.prepare()) == (None, None, None)
