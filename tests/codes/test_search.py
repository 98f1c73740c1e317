"""The few best of many scores, against sorting."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.codes.search import smallest


@pytest.mark.parametrize("shape", [(5, 7), (3, 1000), (4, 1024), (2, 3000), (1, 26_207)])
@pytest.mark.parametrize("n", [1, 5, 8])
def test_the_smallest_are_those_that_sorting_finds(shape, n):
    scores = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = np.sort(np.array(smallest(mx.array(scores), n)), axis=1)
    close(found, np.sort(np.argsort(scores, axis=1)[:, :n], axis=1), "ids")
