"""What moves numbers: every axis, either direction, either end."""

from __future__ import annotations

import mlx.core as mx

from tests.converters.ops.agree import agree, normal, whole

X = normal(3, 4, 5)


def test_slices(tmp_path):
    agree(
        tmp_path,
        {
            "forward": lambda x: x[1:3, :2, 1:5:2],
            "backward": lambda x: x[::-1, 3:0:-1, ::-2],
            "to_the_first": lambda x: x[2::-1, 2::-2, :0:-1],
            "one": lambda x: x[2:0:-1, 1:2],
            "rows": lambda x: x[-1, 1] + x[0, -2],
            "mixed": lambda x: x[:, -1, ::-1] + x[1, 0],
            "kept": lambda x: x[1:2, :, 2:3] * 2,
        },
        X,
    )


def test_shapes(tmp_path):
    agree(
        tmp_path,
        {
            "transposed": lambda x: x.transpose(2, 0, 1),
            "again": lambda x: x.transpose(1, 2, 0),
            "wide": lambda x: mx.broadcast_to(x[:, :1], (2, 3, 4, 5)),
            "tall": lambda x: mx.broadcast_to(x[0, :, 0], (3, 4)).T,
            "number": lambda x: mx.broadcast_to(x.sum(), (2, 2)),
            "scalar": lambda x: x[1, 2, 3].reshape(()),
            "from_scalar": lambda x: x[1, 2, 3].reshape(1, 1, 1) + 1,
            "joined": lambda x: mx.concatenate([x, x[:, 1:3] * 2, x[:, :1]], 1),
            "joined_first": lambda x: mx.concatenate([x[1:], x]),
            "stacked": lambda x: mx.stack([x, x * 2], 1),
            "windows": lambda x: mx.as_strided(x, (3, 4, 2), (5, 1, 7), 3),
        },
        X,
    )


def test_parts(tmp_path):
    """Parts of every size, one of nothing among them."""
    agree(
        tmp_path,
        {
            f"{name}_{n}": lambda x, n=n, split=split: split(x)[n] * (n + 1)
            for name, split, count in (
                ("thirds", lambda x: mx.split(x, 3), 3),
                ("at", lambda x: mx.split(x, [1, 3], axis=1), 3),
                ("last", lambda x: mx.split(x, [2], axis=-1), 2),
            )
            for n in range(count)
        },
        X,
    )
    halves = {
        "before": lambda x: mx.split(x, [2, 2], axis=1)[0],
        "behind": lambda x: mx.split(x, [2, 2], axis=1)[2] * 2,
    }
    agree(tmp_path / "again", halves, X)


def test_pads(tmp_path):
    agree(
        tmp_path,
        {
            "zeros": lambda x, n, v: mx.pad(x, [(0, 1), (2, 0), (1, 3)]),
            "value": lambda x, n, v: mx.pad(x, [(1, 0), (0, 0), (0, 2)], constant_values=-1.5),
            "computed": lambda x, n, v: mx.pad(x, [(1, 2), (0, 0), (0, 1)], constant_values=v),
            "whole": lambda x, n, v: mx.pad(n, [(2, 0), (1, 3)], constant_values=7),
            "before": lambda x, n, v: mx.pad(n, [(0, 0), (1, 0)], constant_values=-7),
        },
        X,
        whole(-9, 9, 2, 3),
        mx.array(2.5),
    )
