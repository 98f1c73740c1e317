"""A causal convolution is its sums, by matrices as by transforms, and so are its gradients."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.lvm.parts import convolution
from wotd_mlx.lvm.parts.convolution import SHORT, convolve


def by_hand(x, kernel):
    """The matrix (L, L, D) that takes x to y."""
    length = x.shape[1]
    matrix = np.zeros((length, length, 3))
    for t in range(length):
        matrix[t, : t + 1] = kernel[:, t::-1].T
    return matrix


@pytest.mark.parametrize("length", [1, 2, 5, SHORT, SHORT + 1, 150])
@pytest.mark.parametrize("last", [1, 2, None])
def test_a_convolution_is_its_sums(length, last):
    rng = np.random.default_rng(0)
    last = min(last or length, length)
    x, kernel, weight = (rng.normal(size=s).astype(np.float32) for s in ((2, length, 3), (3, length), (2, last, 3)))
    matrix = by_hand(x, kernel)[length - last :]
    close(convolve(mx.array(x), mx.array(kernel), last), np.einsum("tsd,bsd->btd", matrix, x), "sum_order")
    in_x, in_kernel = mx.grad(lambda x, k: (convolve(x, k, last) * mx.array(weight)).mean(), argnums=(0, 1))(
        mx.array(x), mx.array(kernel)
    )
    close(in_x, np.einsum("tsd,btd->bsd", matrix, weight) / weight.size, "sum_order")
    want = np.zeros_like(kernel)
    for row in range(last):
        t = length - last + row
        want[:, : t + 1] += np.einsum("bd,bsd->ds", weight[:, row], x[:, t::-1]) / weight.size
    close(in_kernel, want, "sum_order")


@pytest.mark.parametrize("length", [2, 3, 4, 5, 9, 16, 17])
def test_transforms_of_short_sequences_do_not_wrap(length):
    """Lengths beside the powers of two, where the room for the convolution is tightest."""
    rng = np.random.default_rng(length)
    x, kernel = rng.normal(size=(2, length, 3)), rng.normal(size=(3, length))
    arrays = [mx.array(part.astype("float32")) for part in (x, kernel)]
    want = np.einsum("tsd,bsd->btd", by_hand(x, kernel), x)
    close(convolution._by_transforms(*arrays), want, "sum_order")
    close(convolution._by_matrices(*arrays, length), want, "sum_order")


def test_long_sequences_go_by_transforms_and_a_single_output_by_a_sum(monkeypatch):
    """Matrices would take memory in the square of the length."""
    taken = []
    for name in ("_by_matrices", "_by_transforms"):
        real = getattr(convolution, name)
        monkeypatch.setattr(convolution, name, lambda *a, name=name, real=real: taken.append(name) or real(*a))
    for length, last in ((SHORT, None), (SHORT + 1, None), (SHORT + 1, 2), (SHORT + 1, 1)):
        convolve(mx.zeros((1, length, 2)), mx.zeros((2, length)), last)
    assert taken == ["_by_matrices", "_by_transforms", "_by_transforms"]
