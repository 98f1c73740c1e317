"""Reductions along every set of axes, of floats, whole numbers and truth values."""

from __future__ import annotations

import mlx.core as mx
import pytest

from tests.converters.ops.agree import agree, normal, whole

X, N = normal(2, 5, 3), whole(-5, 5, 2, 5, 3)
REDUCTIONS = {"sum": mx.sum, "prod": mx.prod, "max": mx.max, "min": mx.min, "all": mx.all, "any": mx.any}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(tmp_path, name):
    """Every set of axes; of truth values too."""
    reduce = REDUCTIONS[name]
    kinds = {"floats": lambda x, n: x, "whole": lambda x, n: n, "bits": lambda x, n: n > -3}
    agree(
        tmp_path,
        {
            f"{kind}_{n}": lambda x, m, of=of, axes=axes: reduce(of(x, m), axis=axes)
            for kind, of in kinds.items()
            for n, axes in enumerate((0, 1, 2, (0, 1), (0, 2), (1, 2), None))
        },
        X,
        N,
    )


def test_first_of_the_largest(tmp_path):
    agree(
        tmp_path,
        {
            f"{name}_{axis}_{kind}": lambda x, n, pick=pick, axis=axis, of=of: pick(of(x, n), axis=axis)
            for name, pick in (("max", mx.argmax), ("min", mx.argmin))
            for axis in (0, 1, 2)
            for kind, of in (("floats", lambda x, n: x), ("whole", lambda x, n: n), ("bits", lambda x, n: n > 0))
        },
        X,
        N,
    )


def test_softmax_and_its_sum(tmp_path):
    large = X * 60
    functions = {f"softmax_{a}": lambda x, a=a: mx.softmax(x, axis=a) for a in (0, 1, 2)}
    functions |= {f"sum_{a}": lambda x, a=a: mx.logsumexp(x, axis=a) for a in (0, 1, 2)}
    agree(tmp_path, functions | {"all": mx.logsumexp}, large)
