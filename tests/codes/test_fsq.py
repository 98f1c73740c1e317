"""FSQ: rounding against NumPy in float64, every ID of small grids, and agreement with vector-quantize-pytorch."""

from __future__ import annotations

import itertools
import math

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codes.small import normal
from tests.tolerances import close
from wotd_mlx.codes.fsq import FSQ


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


@pytest.mark.parametrize("levels", [(2,), (8, 5), (3, 4, 2, 7)])
def test_each_scalar_is_bounded_and_rounded_as_the_paper_says(levels):
    z = 2 * normal(200, len(levels)).astype(np.float64)
    L = np.array(levels)
    h, o = (L - 1) * 1.001 / 2, np.where(L % 2 == 0, 0.5, 0.0)
    bounded = h * np.tanh(z + np.arctanh(o / h)) - o
    fsq, ours = FSQ(levels), mx.array(z.astype(np.float32))
    close(fsq.bound(ours), bounded, "sum_order")
    codes = fsq(ours)
    close(codes.ids, np.round(bounded) + L // 2, "ids")
    close(codes.quantized, np.round(bounded) / (L // 2), "sum_order")
    close(fsq.bound(mx.zeros((1, len(levels)))), np.zeros((1, len(levels))), "sum_order")
    assert float(codes.loss) == 0
