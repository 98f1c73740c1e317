"""RVQ: its search, learning and restarts against NumPy, and agreement with vector-quantize-pytorch."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.codes.small import normal
from tests.tolerances import close
from wotd_mlx.codes.rvq import RVQ


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


def test_start_with_fewer_vectors_than_codes_and_with_constant_ones():
    for z in (normal(3, 8), np.ones((50, 8), np.float32)):
        quantizer = RVQ((4, 4), 8)
        quantizer.start(z, seed=0)
        codes = quantizer(mx.array(z))
        assert np.isfinite(np.array(codes.quantized)).all()
        close(codes.quantized, z, "sum_order")


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


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_learning_follows_the_running_mean_of_what_chose_a_code(ema):
    q, z = RVQ((4, 3), 5, ema=ema), normal(60, 5)
    q.start(z, seed=0)
    books = [np.array(book) for book in q.books]
    counts = [np.array([1, 2, 3, 0.5], np.float32), np.array([4, 1, 2], np.float32)]
    # Codes that nothing chooses: only the running mean keeps them.
    books[0][3] = books[1][1] = 100.0
    q.books, q.counts = [mx.array(book) for book in books], [mx.array(count) for count in counts]
    q.sums = [mx.array(book * count[:, None]) for book, count in zip(books, counts, strict=True)]
    ids = np.array(q(mx.array(z)).ids)
    q.learn(mx.array(z), mx.array(ids))
    residual = z
    for level, (book, count) in enumerate(zip(books, counts, strict=True)):
        for k in range(len(book)):
            chosen = residual[ids[:, level] == k]
            new = ema * count[k] + (1 - ema) * len(chosen)
            total = ema * count[k] * book[k] + (1 - ema) * chosen.sum(axis=0)
            close(q.counts[level][k], new, "sum_order")
            close(q.sums[level][k], total, "sum_order")
            close(q.books[level][k], total / max(new, 1e-5), "sum_order")
        residual = residual - book[ids[:, level]]


def test_dead_codes_restart_at_residuals_of_their_own_level():
    q, z = RVQ((8, 4), 4), normal(500, 4)
    q.start(z, seed=0)
    first, second = np.array(q.books[0]), np.array(q.books[1])
    first[5:] = 1e3
    second[1] = -1e3
    q.books = [mx.array(first), mx.array(second)]
    q.counts = [mx.full(8, 7.0), mx.full(4, 7.0)]
    nearest = ((z[:, None] - first) ** 2).sum(axis=2).argmin(axis=1)
    left = z - first[nearest]
    assert q.restart_dead_codes(z, seed=1) == 4
    restarted = np.array(q.books[0])
    close(restarted[:5], first[:5], "exact")
    close(np.array(q.books[1])[[0, 2, 3]], second[[0, 2, 3]], "exact")
    for code, among in ((restarted[5], z), (restarted[6], z), (restarted[7], z), (np.array(q.books[1])[1], left)):
        assert np.abs(among - code).max(axis=1).min() < 1e-6
    close(q.sums[0][5:], restarted[5:], "exact")
    close(q.counts[0], [7.0] * 5 + [1.0] * 3, "exact")
    close(q.counts[1], [7.0, 1.0, 7.0, 7.0], "exact")
    assert q.restart_dead_codes(z, seed=2) == 0


@pytest.mark.parametrize(("rows", "restarted"), [(8, 0), (9, 5)])
def test_too_few_vectors_to_fill_a_codebook_restart_nothing(rows, restarted):
    q = RVQ((8,), 4)
    book = normal(8, 4)
    book[3:] = 1e3
    q.books[0] = mx.array(book)
    z = book[np.arange(rows) % 3]
    assert q.restart_dead_codes(z, seed=0) == restarted


def test_a_start_is_k_means_level_after_level():
    centres, rng = 10 * np.eye(3, 4, dtype=np.float32), np.random.default_rng(0)
    inner = np.array([[0, 0, 0, 1], [0, 0, 0, -1]], np.float32)
    z = (centres[:, None, None] + inner[None, :, None] + 0.001 * rng.normal(size=(3, 2, 40, 4))).reshape(-1, 4)
    q = RVQ((3, 2), 4)
    q.start(z.astype(np.float32), seed=0)
    assert np.abs(np.sort(np.array(q.books[0]), axis=0) - np.sort(centres, axis=0)).max() < 0.02
    assert np.abs(np.sort(np.array(q.books[1])[:, 3]) - [-1, 1]).max() < 0.02
    close(q.sums[1], q.books[1], "exact")
    close(q.counts[1], np.ones(2), "exact")
