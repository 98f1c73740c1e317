"""Running sums, products, maxima and minima along every axis, from either end."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal, whole

X, N = normal(2, 5, 3), whole(-5, 5, 2, 5, 3)
SCANS = {"cumsum": mx.cumsum, "cumprod": mx.cumprod, "cummax": mx.cummax, "cummin": mx.cummin}


@pytest.mark.parametrize("name", SCANS)
def test_scans(tmp_path, name):
    scan = SCANS[name]
    kinds = {"floats": lambda x, n: x, "whole": lambda x, n: n, "bytes": lambda x, n: n.astype(mx.int8)}
    agree(
        tmp_path,
        {
            f"{kind}_{axis}_{reverse:d}{inclusive:d}": lambda x, n, of=of, axis=axis, r=reverse, i=inclusive: scan(
                of(x, n), axis=axis, reverse=r, inclusive=i
            )
            for kind, of in kinds.items()
            for axis in ((0, 2) if kind == "floats" else (1,))
            for reverse in (False, True)
            for inclusive in (False, True)
            # Before anything MLX has no least byte of its own.
            if inclusive or kind != "bytes"
        },
        X,
        N,
        row="running",
    )
