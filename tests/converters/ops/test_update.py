"""Slices written anew, from constant starts and computed ones, and masked writes."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal, whole

X, U = normal(4, 5, 3), normal(4, 5, 3, seed=1)
SPOTS = {
    "front": (slice(0, 2),),
    "middle": (slice(1, 3), slice(1, 4)),
    "end": (slice(2, None), slice(None), slice(1, None)),
    "one": (2, slice(None), 1),
    "steps": (slice(None), slice(0, 5, 2)),
    "steps_of_both": (slice(1, 4, 2), slice(1, 5, 3)),
    "backward": (slice(None, None, -1), slice(3, 0, -2)),
    "to_the_first": (slice(2, None, -1),),
    "inside_last": (slice(None), slice(None), slice(1, 2)),
}


def written(x, u, spots):
    x = mx.array(x)
    x[spots] = u[tuple(slice(0, n) for n in x[spots].shape)] if x[spots].ndim == 3 else u[0, : x[spots].shape[0], 0]
    return x


def test_slices_written_anew(tmp_path):
    agree(tmp_path, {name: lambda x, u, s=spots: written(x, u, s) for name, spots in SPOTS.items()}, X, U)


@pytest.mark.parametrize("how", ["add", "maximum", "minimum", "multiply"])
def test_slices_combined(tmp_path, how):
    """With what is there."""
    agree(
        tmp_path,
        {
            name: lambda x, u, s=spots: getattr(x.at[s], how)(u[tuple(slice(0, n) for n in x[s].shape)])
            for name, spots in SPOTS.items()
            if name not in ("one",)
        },
        X,
        U,
    )


def test_other_types(tmp_path):
    agree(
        tmp_path,
        {
            "whole": lambda n, m: written(n, m, (slice(1, 3),)),
            "bits": lambda n, m: written(n > 0, m > 0, (slice(1, 3), slice(2, 4))),
            "added": lambda n, m: n.at[1:3].add(m[:2]),
        },
        whole(-9, 9, 4, 5, 3),
        whole(-9, 9, 4, 5, 3, seed=1),
    )


def test_starts_that_are_computed(tmp_path):
    agree(
        tmp_path,
        {
            "read_first": lambda x, u, i, j: mx.slice(x, i, (0,), (2, 5, 3)),
            "read_last": lambda x, u, i, j: mx.slice(x, i, (2,), (4, 5, 1)),
            "read_two": lambda x, u, i, j: mx.slice(x, j, (0, 2), (2, 5, 1)),
            "read_turned": lambda x, u, i, j: mx.slice(x, j, (2, 1), (4, 2, 1)),
            "read_all": lambda x, u, i, j: mx.slice(x, mx.concatenate([j, i]), (0, 1, 2), (1, 2, 1)),
            "write_first": lambda x, u, i, j: mx.slice_update(x, u[:2], i, (0,)),
            "write_inner": lambda x, u, i, j: mx.slice_update(x, u[:2, :3], i, (0,)),
            "write_last": lambda x, u, i, j: mx.slice_update(x, u[:, :, :1], i, (2,)),
            "write_two": lambda x, u, i, j: mx.slice_update(x, u[:2, :, :1], j, (0, 2)),
            "write_corner": lambda x, u, i, j: mx.slice_update(x, u[:1, :2, :1], j, (0, 1)),
            "write_whole": lambda x, u, i, j: mx.slice_update(x, u, i * 0, (1,)),
            "constant": lambda x, u, i, j: mx.slice_update(x, u[:2, :3], mx.array([1, 2]), (0, 1)),
            "read_constant": lambda x, u, i, j: mx.slice(x, mx.array([1, 2]), (0, 1), (2, 3, 3)),
        },
        X,
        U,
        mx.array([1]),
        mx.array([2, 1]),
    )


def test_masked_writes(tmp_path):
    """The n-th True takes the n-th number, through all rows; one number for all."""
    bits = whole(0, 2, 4, 5, 3, seed=2) > 0

    def all_of(x, m, v):
        x = mx.array(x)
        x[m] = v
        return x

    agree(
        tmp_path,
        {
            "numbers": lambda x, u, m: all_of(x, m, u.reshape(-1)),
            "one": lambda x, u, m: all_of(x, m, mx.array(2.5)),
            "whole": lambda x, u, m: all_of((x * 9).astype(mx.int32), m, (u * 9).astype(mx.int32).reshape(-1)),
        },
        X,
        U,
        bits,
    )
