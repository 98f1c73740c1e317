"""Differences that can't be mended; ``docs/explanation/coreml.md`` has this table, and a test compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One kind of difference: what it is called, why it stays, and whether one that was seen is of it.

    Where ``applies`` is None, the noise tells: with zeros of either sign, or results kept in float16, MLX itself gives
    either value.
    """

    name: str
    why: str
    applies: Callable[[Any], bool] | None = None


def _other_sign(seen: Any) -> bool:
    """Whether each number that differs has the right size."""
    return seen.want.dtype.kind == "f" and bool(np.isclose(seen.want[seen.at], -seen.got[seen.at], rtol=1e-2).all())


ZEROS = Row(
    "the sign of a zero",
    "Core ML doesn't promise it, and some lowerings lose it: a quotient by −0 or an angle beside it may have the other "
    "sign, and what is made of it",
    _other_sign,
)
RANGE = Row(
    "numbers beyond float16",
    "in half precision what MLX has above 65504 on the way is infinite, what it has below 6·10⁻⁸ is 0, and whole "
    "numbers above 2048 are rounded",
)
ROWS = (
    ZEROS,
    RANGE,
    Row(
        "scores beyond float16",
        "in half precision a product of queries and keys above 65504 is infinite, and less itself NaN",
        lambda seen: "Attention" in seen.ops and seen.wide,
    ),
    Row(
        "products with an addend",
        "in half precision a product of matrices above 65504 is infinite, though what is added may bring it back",
        lambda seen: "AddMM" in seen.ops and seen.wide,
    ),
    Row(
        "products along an axis",
        "taken in another order they may leave the range of floats on the way, and infinity times zero is NaN",
        lambda seen: "Scan" in seen.ops and not np.isfinite(seen.got[seen.at]).any(),
    ),
    Row(
        "the root of minus infinity",
        "x ** 0.5 is a square root, which has NaN there; C's power has infinity",
        lambda seen: "Power" in seen.ops and seen.only_nan and bool(np.isposinf(seen.want[seen.at]).all()),
    ),
    Row(
        "the error function of next to nothing",
        "MLX has 0 below 10⁻⁷, Core ML's own doesn't say; sign and truth of it differ",
        lambda seen: "Erf" in seen.ops and seen.half and not seen.want[seen.at].any(),
    ),
    Row(
        "complex products beyond float16",
        "in half precision the products of the parts are infinite where their difference may not be",
        lambda seen: "complex64" in seen.ops and seen.wide,
    ),
    Row(
        "complex numbers that aren't finite, or divided by zero",
        "C's rules for them have no counterpart in pairs of real numbers: NaN",
        lambda seen: "complex64" in seen.ops and seen.profile == "odd",
    ),
    Row(
        "a spectrum of what isn't finite",
        "a product with a matrix hands NaN to every frequency, MLX's algorithm to those that it touches",
        lambda seen: "FFT" in seen.ops and seen.only_nan,
    ),
    Row(
        "a computed kernel with gaps, beside what isn't finite",
        "MIL dilates no kernel that is computed: there are zeros in its gaps, and zero times infinity is NaN",
        lambda seen: "Convolution" in seen.ops and seen.only_nan,
    ),
    Row(
        "blocks that are masked",
        "MLX multiplies whatever lies in its memory by zero, which may be NaN; a package has zero there",
        lambda seen: "BlockMaskedMM" in seen.ops and bool(np.isnan(seen.want[seen.at]).all()),
    ),
    Row(
        "NaN where a maximum or minimum is scattered",
        "MLX drops a NaN that lies there, elsewhere it hands NaN on; of Core ML neither is known, Core AI drops it",
        lambda seen: "Scatter" in seen.ops and bool(np.isnan(seen.want[seen.at] + seen.got[seen.at]).all()),
    ),
)


def row_of(seen: Any) -> Row | None:
    """The row that a difference is of by its operations, its inputs and its numbers."""
    return next((row for row in ROWS if row.applies and row.applies(seen)), None)
