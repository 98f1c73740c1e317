"""Reductions over every set of axes, and running sums, element by element in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.converters.executor.calls import call, normal, whole
from tests.tolerances import close

X = np.abs(normal(2, 3, 4)) + np.float32(0.2)
X[0, 1, 2] *= -0.1
FORMULAE = {
    "reduce_l1_norm": lambda v: math.fsum(abs(n) for n in v),
    "reduce_l2_norm": lambda v: math.sqrt(math.fsum(n * n for n in v)),
    "reduce_log_sum": lambda v: math.log(math.fsum(v)),
    "reduce_log_sum_exp": lambda v: math.log(math.fsum(math.exp(n) for n in v)),
    "reduce_max": max,
    "reduce_mean": lambda v: math.fsum(v) / len(v),
    "reduce_min": min,
    "reduce_prod": math.prod,
    "reduce_sum": math.fsum,
    "reduce_sum_square": lambda v: math.fsum(n * n for n in v),
}
AXES = [None, *([a] for a in range(-3, 3)), [0, 2], [-1, 0], [1, 2], [0, 1, 2]]


@pytest.mark.parametrize("name", FORMULAE)
def test_reductions(name):
    x = np.abs(X) if name == "reduce_log_sum" else X
    for axes, keep in itertools.product(AXES, (False, True)):
        over = range(3) if axes is None else [a % 3 for a in axes]
        kept = [range(n) if a not in over else [slice(None)] for a, n in enumerate(x.shape)]
        want = [FORMULAE[name](x[index].reshape(-1).tolist()) for index in itertools.product(*kept)]
        shape = [1 if a in over else n for a, n in enumerate(x.shape) if keep or a not in over]
        close(call(name, x=x, axes=axes, keep_dims=keep), np.reshape(want, shape), "executor")


@pytest.mark.parametrize("axis", range(-3, 3))
def test_first_of_the_largest_and_smallest(axis):
    x = whole(0, 2, 3, 4, 5)
    for name, pick in (("reduce_argmax", max), ("reduce_argmin", min)):
        want = np.apply_along_axis(lambda row, pick=pick: row.tolist().index(pick(row)), axis, x)
        close(call(name, x=x, axis=axis), want, "ids")
        close(call(name, x=x, axis=axis, keep_dims=True), np.expand_dims(want, axis), "ids")
    close(call("reduce_argmax", x=x), call("reduce_argmax", x=x, axis=2), "ids")
    close(call("reduce_argmin", x=x), call("reduce_argmin", x=x, axis=2), "ids")


@pytest.mark.parametrize(("exclusive", "reverse"), itertools.product((False, True), repeat=2))
def test_running_sums(exclusive, reverse):
    def summed(row):
        n = len(row)
        ranges = [(i + exclusive, n) if reverse else (0, i + 1 - exclusive) for i in range(n)]
        return [math.fsum(row[a:b]) for a, b in ranges]

    for x in (X, whole(-9, 9, 2, 3, 4)):
        for axis in range(-3, 3):
            got = call("cumsum", x=x, axis=axis, exclusive=exclusive, reverse=reverse)
            close(got, np.apply_along_axis(summed, axis, x.astype(np.float64)), "executor")
            assert got.dtype == x.dtype
    close(call("cumsum", x=X), np.stack([X[0], X[0] + X[1]]), "executor")


@pytest.mark.parametrize("axis", [3, -4])
def test_axis_out_of_range_is_refused(axis):
    with pytest.raises(ValueError, match=f"axis {axis} is out of range for rank 3"):
        call("reduce_sum", x=X, axes=[axis])
