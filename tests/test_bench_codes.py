"""The benchmark of codes: coders take the bytes that are said, searches find what decoding finds, shares are shares."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coders
from benchmarks.bench_codes import cosines, gaussian, kept, pairs
from benchmarks.coders import Coder
from scripts.codes_page import coded, spread
from tests.codes.test_detail import decaying
from tests.tolerances import close


@pytest.mark.parametrize(
    ("fit", "size"),
    [
        (coders.residual(16), 2),
        (coders.binary(16), 2),
        (coders.faiss_rq(16, 8), 2),
        (coders.faiss_opq(2, 8), 2),
        (coders.faiss_lsq(2, 8), 2),
        (coders.rabitq(16), 10),
    ],
)
def test_a_vector_takes_the_bytes_that_are_said(fit, size):
    coder = fit(decaying(2000), 0)
    codes = np.asarray(coder.encode(decaying(5, seed=1)))
    assert codes.shape == (5, size)
    assert size == 2 + coder.stored


def test_adding_up_tables_finds_what_decoding_finds():
    coder = coders.residual(24)(decaying(2000), 0)
    codes, queries = coder.encode(decaying(500, seed=1)), decaying(4, seed=2)
    ours, theirs = (search(queries, codes)() for search in (coder.search, coders.brute(coder.decode)))
    assert [set(row) for row in ours] == [set(row) for row in theirs]


def test_a_query_of_rabitq_is_compared_where_its_codes_lie():
    coder = coders.rabitq(8)(decaying(2000), 0)
    back, v = coder.decode(coder.encode(decaying(9, seed=1))), decaying(9, seed=1)
    close((coder.products(v) * back).sum(axis=1), (v * back).sum(axis=1), "sum_order")
    close(coder.products(coder.products(v)), coder.products(v), "sum_order")


def test_a_code_that_loses_nothing_keeps_all_and_one_that_adds_noise_does_not():
    a, b = decaying(400, seed=1), decaying(400, seed=1) + decaying(400, seed=2)
    scores = cosines(a, b) + np.random.default_rng(0).normal(0, 0.1, 400)
    whole = Coder(lambda v: v, lambda codes: codes, 0, coders.brute(lambda codes: codes))
    close(list(kept(whole, a, b, scores).values()), [1, 1, 1, 1], "sum_order")
    signs = Coder(np.sign, lambda codes: codes, 0, whole.search)
    found = kept(signs, a, b, scores)
    assert found["coded"] < found["whole"] < 1
    assert found["whole"] < found["whole_scaled"]


def test_the_bound_of_a_white_gaussian_is_two_to_the_minus_two_bits_an_axis():
    x = np.random.default_rng(0).normal(size=(200_000, 4))
    for bits, error in gaussian(x):
        assert error == pytest.approx(2 ** (-2 * bits / 4), rel=0.02)


def test_pairs_are_of_all_degrees_of_likeness():
    likeness = cosines(*pairs(decaying(500)))
    assert np.histogram(likeness, bins=5, range=(0, 1))[0].min() > 100


def test_rows_of_seeds_are_one_and_their_spread_is_half_the_range():
    rows = [
        {"code": code, "bits": bits, "seed": seed} for seed in (0, 1) for code, bits in (("LSQ", 128), ("HVQ", 123))
    ]
    assert [(code, bits, len(seeds)) for code, bits, seeds in coded(rows)] == [("HVQ", 123, 2), ("LSQ", 128, 2)]
    assert spread([0.25, 0.35]) == ".300 ± .050"
    assert spread([0.25]) == ".250"
