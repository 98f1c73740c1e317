"""Which words train, validate and test: dealt out as the docstring says, family by family."""

from __future__ import annotations

import numpy as np
import pytest

from wotd_mlx.codes.split import split_by_family
from wotd_mlx.config import TrainingConfig
from wotd_mlx.schemas import WotdError

# Nine families, of three words, two, and one.
WORDS = [
    "glad",
    "sing",
    "gladly",
    "oak",
    "singing",
    "stone",
    "moss",
    "gladness",
    "river",
    "oaks",
    "cloud",
    "fern",
    "dusk",
]
FAMILIES = ([0, 2, 7], [1, 4], [3, 9], [5], [6], [8], [10], [11], [12])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("held_out", "validation"), [(0.2, 0.1), (0.4, 0.3), (1e-6, 1e-6), (0.9, 0.09)])
def test_families_fill_one_part_after_another(seed, held_out, validation):
    split = split_by_family(WORDS, TrainingConfig(seed=seed, held_out=held_out, validation=validation))
    waiting = [FAMILIES[n] for n in np.random.default_rng(seed).permutation(9)]
    parts = []
    for wanted, later in ((max(1, held_out * 13), 2), (max(1, validation * 13), 1)):
        part = list(waiting.pop(0))
        while len(part) < wanted and len(waiting) > later:
            part += waiting.pop(0)
        parts.append(sorted(part))
    parts.append(sorted(row for rows in waiting for row in rows))
    assert [rows.tolist() for rows in (split.test, split.valid, split.train)] == parts


def test_three_families_are_one_each_and_two_are_refused():
    split = split_by_family(("glad", "gladly", "oak", "sing"), TrainingConfig(held_out=0.9))
    assert sorted(map(len, (split.train, split.valid, split.test))) == [1, 1, 2]
    with pytest.raises(WotdError, match="the corpus has 3 words in 2 word families"):
        split_by_family(("glad", "gladly", "oak"), TrainingConfig())
