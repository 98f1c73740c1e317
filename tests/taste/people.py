"""Words and votes that are small enough to make on the spot."""

from __future__ import annotations

import numpy as np

from wotd_mlx.config.taste import TasteConfig
from wotd_mlx.taste.choose import Pool, Said
from wotd_mlx.taste.features import Features

CONFIG = TasteConfig(components=3)


def features(count: int = 60, seed: int = 0, config: TasteConfig = CONFIG) -> Features:
    """Random words, 8 wide, with labels of two attributes."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 8)).astype(np.float32) * np.arange(8, 0, -1, dtype=np.float32)
    labels = rng.random((count, 5)).astype(np.float32)
    codes = rng.random((count, 3)).astype(np.float32)
    glosses = rng.normal(size=(count, 8)).astype(np.float32)
    return Features.of(vectors, glosses, labels, rng.uniform(1, 5, count).astype(np.float32), codes, config)


def pool(found: Features, families: np.ndarray | None = None) -> Pool:
    count = len(found)
    own = np.arange(count, dtype=np.int32) if families is None else families
    return Pool(found, own, np.ones(count, np.float32), np.ones(count, bool))


def said(rows: list[int], votes: list[float], noise: float = 0.09) -> Said:
    return Said(np.array(rows, np.int64), np.array(votes, np.float32), np.full(len(rows), noise, np.float32))
