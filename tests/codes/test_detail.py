"""The residual detail: what the mathematics promises, brute force on tiny sizes, and FAISS at equal bits."""

from __future__ import annotations

import itertools
import math
from functools import cache

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.codes.detail import Detail
from wotd_mlx.config.codes import byte_levels
from wotd_mlx.schemas import WotdError


def decaying(n: int, width: int = 32, seed: int = 0) -> np.ndarray:
    """n vectors of independent axes, the variance of axis i falling as 1/i, as embeddings' do."""
    scale = np.arange(1, width + 1) ** -0.5
    return (np.random.default_rng(seed).normal(size=(n, width)) * scale).astype(np.float32)


@cache
def fitted(levels: tuple[int, ...] = (32, 32, 32, 8), beam: int = 8) -> Detail:
    detail = Detail(levels, 32, beam=beam)
    detail.start(decaying(4000), seed=0)
    return detail


def error(detail: Detail, z: np.ndarray) -> float:
    return float(np.square(z - np.array(detail.ids_to_codes(detail.encode(mx.array(z))))).sum() / np.square(z).sum())


@pytest.mark.parametrize("bits", [1, 8, 64, 103, 123, 320, 1024])
def test_levels_take_exactly_the_bits_asked_for(bits):
    assert math.prod(byte_levels(bits)) == 2**bits
    assert min(byte_levels(bits)) >= 2


@pytest.mark.parametrize("bits", [0, -3, 1025])
def test_impossible_bits_are_refused(bits):
    with pytest.raises(WotdError, match=f"{bits} bits"):
        byte_levels(bits)


def test_a_sum_of_codes_comes_back():
    rng = np.random.default_rng(1)
    detail = Detail((8, 8, 8), 32)
    # Each level's codes are a tenth as long as those above: the nearest sum is then the one that was written.
    detail.books = [mx.array(rng.normal(size=(8, 32)) * 10.0**-q, mx.float32) for q in range(3)]
    ids = mx.array(list(itertools.product(range(8), repeat=3)), mx.int32)
    close(detail.encode(detail.ids_to_codes(ids)), ids, "ids")


@pytest.mark.parametrize("beam", [1, 3, 100])
def test_agrees_with_a_search_in_float64(beam):
    rng = np.random.default_rng(2)
    detail = Detail((4, 3, 5), 6, beam=beam)
    detail.books = [mx.array(rng.normal(size=(k, 6)), mx.float32) for k in detail.levels]
    z, books = rng.normal(size=(50, 6)).astype(np.float32), [np.array(b, np.float64) for b in detail.books]
    for row, got in zip(z, np.array(detail.encode(mx.array(z))), strict=True):
        kept: list[tuple[int, ...]] = [()]
        for q, k in enumerate(detail.levels):
            longer = [(*ids, code) for ids in kept for code in range(k)]
            sums = np.array([sum(books[p][ids[p]] for p in range(q + 1)) for ids in longer])
            kept = [longer[i] for i in np.argsort(np.square(row - sums).sum(axis=1))[:beam]]
        ids = list(kept[0])
        for q, k in enumerate(detail.levels):
            others = sum((books[p][ids[p]] for p in range(3) if p != q), np.zeros(6))
            ids[q] = int(np.argmin([np.square(row - others - books[q][code]).sum() for code in range(k)]))
        close(got, ids, "ids")


def test_error_falls_with_each_level_and_with_the_beam():
    z = decaying(1000, seed=1)
    by_level = [error(fitted((32,) * q), z) for q in (1, 2, 3, 4)]
    assert by_level == sorted(by_level, reverse=True)
    by_beam = []
    for beam in (1, 2, 4, 16):
        detail = Detail(fitted().levels, 32, beam=beam)
        detail.update(fitted().parameters())
        by_beam.append(error(detail, z))
    assert by_beam == sorted(by_beam, reverse=True)


def composed(n: int, seed: int) -> np.ndarray:
    """n sums of one of 24 directions from each of four sets, with a little noise: parts of equal size, as meaning has.

    Residual k-means learns the first part blurred by the three others; a joint fit separates them.
    """
    parts = np.random.default_rng(9).normal(size=(4, 24, 64)) / 2
    rng = np.random.default_rng(seed)
    chosen = sum(parts[p][rng.integers(0, 24, n)] for p in range(4))
    return np.asarray(chosen + 0.25 * rng.normal(size=(n, 64)), np.float32)


def test_beats_faiss_at_equal_bits():
    import faiss

    train, test = composed(3000, seed=0), composed(500, seed=1)
    peer = faiss.ResidualQuantizer(64, 6, 5)
    peer.train(train)
    theirs = np.square(test - peer.decode(peer.compute_codes(test))).sum() / np.square(test).sum()
    detail = Detail((32,) * 6, 64)
    detail.start(train, seed=0)
    assert error(detail, test) < 0.93 * theirs  # seen: .147 and .170


def test_codes_are_used():
    ids = np.array(fitted().encode(mx.array(decaying(4000))))
    assert all(len(np.unique(ids[:, q])) >= 0.95 * k for q, k in enumerate(fitted().levels))


def test_one_vector_codes_as_among_others():
    z = mx.array(decaying(600, seed=4))
    together = fitted().encode(z)
    assert together.dtype == mx.int32
    close(mx.concatenate([fitted().encode(z[i : i + 1]) for i in range(0, 600, 60)]), together[::60], "ids")
    assert fitted().encode(z[:0]).shape == (0, 4)


@pytest.mark.parametrize("z", [decaying(3), decaying(1), np.full((50, 32), 0.1, np.float32), np.zeros((9, 32), "f")])
def test_few_or_constant_vectors(z):
    detail = Detail((16, 16, 4), 32)
    detail.start(z, 0)
    assert np.isfinite(np.array(detail.ids_to_codes(detail.encode(mx.array(z))))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_named(bad):
    z = decaying(20)
    z[7, 3] = bad
    with pytest.raises(WotdError, match="row 7"):
        Detail((4,), 32).start(z, 0)
    with pytest.raises(WotdError, match="row 7"):
        fitted().encode(mx.array(z))


def test_bad_shapes_are_refused():
    with pytest.raises(WotdError, match="32"):
        fitted().encode(mx.zeros((5, 31)))
    with pytest.raises(WotdError, match="no vectors"):
        Detail((4,), 32).start(np.zeros((0, 32), np.float32), 0)
    for levels, beam in (((), 8), ((4, 1), 8), ((4,), 0)):
        with pytest.raises(WotdError, match="not possible"):
            Detail(levels, 32, beam=beam)


def test_the_same_seed_gives_the_same_codes():
    again = Detail((32, 32, 32, 8), 32)
    again.start(decaying(4000), seed=0)
    for mine, before in zip(again.books, fitted().books, strict=True):
        close(mine, before, "exact")


def test_saved_and_loaded_it_codes_alike(tmp_path):
    detail, z = fitted(), mx.array(decaying(100, seed=5))
    detail.save_weights(str(tmp_path / "detail.safetensors"))
    loaded = Detail(detail.levels, 32)
    loaded.load_weights(str(tmp_path / "detail.safetensors"))
    close(loaded.encode(z), detail.encode(z), "ids")
    close(loaded.ids_to_codes(loaded.encode(z)), detail.ids_to_codes(detail.encode(z)), "exact")
    # Not even an empty entry: an optimiser that trains the codes before it would stop at one.
    assert loaded.trainable_parameters() == {}


def test_progress_counts_every_step():
    steps: list[int] = []
    detail = Detail((4, 4), 32)
    detail.start(decaying(100), 0, progress=steps.append)
    assert sum(steps) == detail.stages(100)
