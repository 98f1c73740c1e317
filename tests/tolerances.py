"""Every tolerance of the suite, each with its reason; a test names a row and passes no number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Tol(NamedTuple):
    """|got − want| ≤ atol + rtol · |want|, and why that much."""

    atol: float
    rtol: float
    why: str


TOL = {
    "ids": Tol(0.0, 0.0, "integers: a difference is a wrong code"),
    "exact": Tol(0.0, 0.0, "the same operations on the same numbers"),
    "sum_order": Tol(1e-5, 1e-5, "fp32, the same sum in another order; worst seen 2e-6"),
    "torch": Tol(1e-5, 1e-5, "fp32 against torch on a CPU, forward and gradient; worst seen 2e-6"),
    "angles": Tol(1e-4, 1e-4, "arccos near 0 and 1 doubles the digits lost"),
    "training": Tol(5e-3, 5e-3, "a code that flips on rounding changes the steps after it; worst seen 1e-3"),
}


def close(got: Any, want: Any, row: str) -> None:
    """Assert that two arrays agree within the named row, shapes included."""
    tol = TOL[row]
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    np.testing.assert_allclose(got, want, rtol=tol.rtol, atol=tol.atol, err_msg=f"{row}: {tol.why}")
