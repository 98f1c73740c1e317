"""Training, validation and test words, dealt out by word family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wotd_mlx.arrays import Indices
from wotd_mlx.config import TrainingConfig
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.families import family


@dataclass(frozen=True)
class Split:
    """Row numbers of the training, validation and test words; no word family is in two of them."""

    train: Indices
    valid: Indices
    test: Indices


def split_by_family(words: Sequence[str], config: TrainingConfig) -> Split:
    """Deal whole word families out at random, by ``config.seed``, until each part has its share of words.

    Raises:
        WotdError: too few families for three parts.
    """
    families: dict[str, list[int]] = {}
    for row, word in enumerate(words):
        families.setdefault(family(word), []).append(row)
    if len(families) < 3:
        raise WotdError(
            f"the corpus has {len(words)} words in {len(families)} word families; "
            "training, validation and test need one each at least, and some hundreds to learn anything"
        )
    order = np.random.default_rng(config.seed).permutation(len(families))
    groups = list(families.values())
    wanted = [max(1.0, config.held_out * len(words)), max(1.0, config.validation * len(words)), np.inf]
    parts: list[list[int]] = [[], [], []]
    part = 0
    for position, index in enumerate(order):
        # A part closes when it is full, or when the rest is just enough to give each later part one family.
        if part < 2 and parts[part] and (len(parts[part]) >= wanted[part] or len(order) - position <= 2 - part):
            part += 1
        parts[part] += groups[index]
    test, valid, train = (np.sort(np.array(rows, np.int64)) for rows in parts)
    return Split(train, valid, test)
