"""Products of matrices of every rank, picked ones, masked ones."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal, whole


def test_products(tmp_path):
    agree(
        tmp_path,
        {
            "plain": lambda x, y: x @ y,
            "turned": lambda x, y: y.T @ x.swapaxes(-1, -2),
            "added": lambda x, y: mx.addmm(y[0], x, y),
            "scaled": lambda x, y: mx.addmm(y[0], x, y, 2.0, 1.0),
            "less": lambda x, y: mx.addmm(y[0], x, y, 1.0, -0.5),
            "vector": lambda x, y: x @ y[:, 0],
        },
        normal(2, 3, 4),
        normal(4, 5),
    )


@pytest.mark.parametrize(("rows", "asked"), [(1, 2), (1, 9), (3, 2), (3, 9)])
def test_picked_matrices(tmp_path, rows, asked):
    """Fewer products than matrices, and more; from the left, from the right and from both, below 0 too."""
    left, right = whole(0, 3, asked), whole(0, 4, asked, seed=1)
    agree(
        tmp_path,
        {
            "both": mx.gather_mm,
            "right": lambda x, w, i, j: mx.gather_mm(x[:1], w, rhs_indices=j),
            "left": lambda x, w, i, j: mx.gather_mm(x, w[:1], lhs_indices=i),
            "constant": lambda x, w, i, j: mx.gather_mm(x, w, left, right),
            "grid": lambda x, w, i, j: mx.gather_mm(
                x, w, i[:, None] + mx.zeros((1, 2), mx.int32), mx.stack([j, j[::-1]], 1)
            ),
        },
        normal(3, rows, 5),
        normal(4, 5, 2),
        left,
        right,
    )


@pytest.mark.parametrize("sides", [(64, 64, 32), (40, 50, 20)])
def test_masked_blocks(tmp_path, sides):
    m, k, n = sides
    out, left, right = mx.array([[True], [False]]), mx.array([[1.0, 0.0], [0.5, 2.0]]), mx.array([[0.5], [3.0]])
    agree(
        tmp_path,
        {
            "out": lambda x, y: mx.block_masked_mm(x, y, 32, out),
            "both": lambda x, y: mx.block_masked_mm(x, y, 32, None, left, right),
            "all": lambda x, y: mx.block_masked_mm(x, y, 32, out, left, right),
        },
        normal(m, k),
        normal(k, n),
    )


def test_hadamard(tmp_path):
    agree(tmp_path, {"plain": mx.hadamard_transform, "scaled": lambda x: mx.hadamard_transform(x, 0.3)}, normal(2, 8))
