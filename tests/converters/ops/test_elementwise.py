"""Arithmetic of every kind of number: powers by constants and by arrays, quotients, remainders, what wraps."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal, whole


def test_powers(tmp_path):
    """Of negative bases too where the exponent is a whole constant; by one number, by one for each column, by any."""
    agree(
        tmp_path,
        {
            **{f"by{n}": lambda x, n, k, e=e: x**e for n, e in enumerate((0.0, 1.0, 2.0, 3.0))},
            **{f"root{n}": lambda x, n, k, e=e: mx.abs(x) ** e for n, e in enumerate((0.5, 1.5, -2.0))},
            "columns": lambda x, n, k: mx.abs(x[:, :2]) ** mx.array([2.0, 3.0]),
            "wide": lambda x, n, k: mx.abs(x[:, :1]) ** mx.array([2.0, 3.0, 0.5]),
            "number_wide": lambda x, n, k: x[:1, :1] ** mx.full((2, 2), 2.0),
            "bases": lambda x, n, k: mx.array([2.0, 0.5, 3.0]) ** x,
            **{f"whole{e}": lambda x, n, k, e=e: n**e for e in (0, 1, 2, 5, 8)},
            "wholes": lambda x, n, k: n**k,
            "whole_columns": lambda x, n, k: n ** mx.array([0, 3, 2]),
        },
        normal(4, 3),
        whole(-5, 6, 4, 3),
        whole(0, 9, 4, 3, seed=1),
        row="functions",
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
def test_whole_numbers(tmp_path, dtype):
    """What leaves a narrow type wraps round."""
    kind = getattr(mx, dtype)
    low, high = (0, 200) if dtype.startswith("u") else (-120, 120)
    agree(
        tmp_path,
        {
            "sum": lambda x, y: x + y,
            "difference": lambda x, y: x - y,
            "product": lambda x, y: x * y,
            "quotient": lambda x, y: x // y,
            "rest": lambda x, y: x % y,
            "both": lambda x, y: mx.divmod(x, y)[0] + mx.divmod(x, y)[1],
            "larger": mx.maximum,
            "smaller": mx.minimum,
            "square": lambda x, y: mx.square(x),
            "less": lambda x, y: -x,
            "size": lambda x, y: mx.abs(x),
            "sign": lambda x, y: mx.sign(x),
        },
        whole(low, high, 4, 6, dtype=kind),
        whole(1, high, 4, 6, seed=1, dtype=kind),
    )


def test_numbers_with_fractions(tmp_path):
    y = normal(3, seed=1) * 2
    agree(
        tmp_path,
        {
            "quotient": lambda x, y: x / y,
            "whole_quotient": lambda x, y: x // y,
            "rest": lambda x, y: x % y,
            "both": lambda x, y: mx.divmod(x, y)[0] * 10 + mx.divmod(x, y)[1],
            "up": lambda x, y: mx.ceil(x) + mx.floor(y),
            "to_even": lambda x, y: mx.round(x * 4) / 4,
            "sign": lambda x, y: mx.sign(x) * mx.abs(y),
            "constants": lambda x, y: (2.0 - x) * 0.5 + 3.0 / (mx.abs(y) + 1),
        },
        normal(4, 3) * 5,
        y,
    )
