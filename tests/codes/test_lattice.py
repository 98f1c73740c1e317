"""The grid that entries are rounded to: exact in half precision, as near as its bits allow, in the room it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.codes.lattice import NARROW, Lattice, bytes_an_entry


def falling(rows: int, width: int, last: float = 0.03, seed: int = 0) -> np.ndarray:
    """Columns as the principal ones of words: Gaussian, the last ``last`` times as wide as the first."""
    drawn = np.random.default_rng(seed).normal(size=(rows, width))
    return (9.3 * drawn * np.geomspace(1, last, width)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
@pytest.mark.parametrize("width", [1, 7, 64, 65, 384])
def test_every_value_is_exact_in_half_precision(width, scale):
    lattice = Lattice.of(falling(300, width) * np.float32(scale))
    for k in range(-128, 128):
        numbers = np.full((1, lattice.kept), k, np.int8)
        numbers[:, lattice.eight :] = np.clip(numbers[:, lattice.eight :], -8, 7)
        values = lattice.values(numbers)
        close(values.astype(np.float16).astype(np.float32), values, "exact")
        # And the numbers come back from the values.
        there = lattice.steps[: lattice.kept] > 0
        close(lattice.numbers(values)[:, there], numbers[:, there], "ids")


@pytest.mark.parametrize("width", [1, 2, 63, NARROW, NARROW + 1, 131, 384])
def test_it_takes_the_room_that_it_says(width):
    lattice = Lattice.of(falling(50, width))
    assert lattice.eight + lattice.four / 2 <= bytes_an_entry(width)
    assert lattice.four % 2 == 0
    assert lattice.kept <= width
    if width <= NARROW:
        assert (lattice.eight, lattice.four) == (width, 0)


def test_few_bits_go_where_they_tell_most():
    """The error of rounded Gaussians is what theory says, and no other split of the same bytes has less."""
    rows = falling(4000, 384)
    lattice = Lattice.of(rows)
    error = ((rows - lattice.rounded(rows)) ** 2).mean(axis=0)
    squares = (rows.astype(np.float64) ** 2).mean(axis=0)
    assert 0 < lattice.eight < 200
    assert error[: lattice.eight].sum() < 2e-4 * squares[: lattice.eight].sum()
    four = slice(lattice.eight, lattice.kept)
    assert 0.010 < error[four].sum() / squares[four].sum() < 0.013
    size = bytes_an_entry(384)
    for eight in range(0, size + 1, 8):
        other = min((384 - eight) // 2 * 2, 2 * (size - eight))
        rest = 9e-5 * squares[:eight].sum() + 0.0117 * squares[eight : eight + other].sum()
        assert error.sum() < 1.05 * (rest + squares[eight + other :].sum())


def test_a_column_of_nothing_is_zero():
    rows = falling(100, 6)
    rows[:, 4:] = 0
    lattice = Lattice.of(rows)
    close(lattice.rounded(rows)[:, 4:], rows[:, 4:], "exact")
    close(Lattice.of(rows * 0).rounded(rows), rows * 0, "exact")


def test_what_is_rounded_stays():
    rows = falling(200, 100)
    lattice = Lattice.of(rows)
    once = lattice.rounded(rows)
    close(lattice.rounded(once), once, "exact")
