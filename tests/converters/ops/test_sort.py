"""Sorts along every axis, ties included."""

from __future__ import annotations

import mlx.core as mx

from tests.converters.ops.agree import agree, normal, whole

X, N = normal(2, 5, 3), whole(-5, 5, 2, 5, 3)


def test_sorts(tmp_path):
    """Ties keep their order; what is left and right of a pivot is sorted after."""
    functions = {}
    for axis in (0, 1, 2):
        functions |= {
            f"sort_{axis}": lambda x, n, axis=axis: mx.sort(x, axis=axis),
            f"whole_{axis}": lambda x, n, axis=axis: mx.sort(n, axis=axis),
            f"bits_{axis}": lambda x, n, axis=axis: mx.sort(n > 0, axis=axis),
            f"order_{axis}": lambda x, n, axis=axis: mx.argsort(n, axis=axis),
        }
    functions |= {
        "top": lambda x, n: mx.sort(mx.topk(x, 2, axis=1), axis=1),
        "low": lambda x, n: mx.sort(mx.take(mx.partition(x, 2, axis=1), mx.arange(3), axis=1), axis=1),
        "order": lambda x, n: mx.sort(mx.take(mx.argpartition(x, 2, axis=1), mx.arange(3), axis=1), axis=1),
    }
    agree(tmp_path, functions, X, N)


def test_where_numbers_would_be_sorted_in(tmp_path):
    rows = mx.array([-3, -1, -1, 0, 4])
    agree(
        tmp_path,
        {
            f"{side}_{name}": lambda n, side=side, of=of: mx.searchsorted(rows, of(n), side=side)
            for side in ("left", "right")
            for name, of in (("all", lambda n: n), ("row", lambda n: n[0, 0]), ("one", lambda n: n[0, 1, 2]))
        },
        N,
    )
