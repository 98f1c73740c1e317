"""A trained predictor of the next vector as a strategy: what comes after the words that were liked last."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Vectors
from wotd_mlx.lvm.store import ModelFolder
from wotd_mlx.schemas import WotdError
from wotd_mlx.taste.choose import Pool, Said, Scores

CONTEXT = 5
"""Vectors that a predictor sees."""


def by_prediction(folder: Path, vectors: Vectors, embedding: str) -> Scores:
    """The words nearest to what a predictor makes of the last five that were liked.

    Args:
        folder: ``OUT/models/NAME`` of a training.
        vectors: (M, D) of the pool's words.
        embedding: whose vectors they are.
    Raises:
        WotdError: no such training, or one on other vectors.
    """
    model, settings = ModelFolder(folder.parent.parent, folder.name).load()
    if settings.embedding != embedding:
        raise WotdError(
            f"{folder} predicts vectors of {settings.embedding}, the words have those of {embedding}; train it with "
            f"--embedding {embedding}"
        )

    def scores(pool: Pool, said: Said, free: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
        context = vectors[said.liked[-CONTEXT:]]
        if not len(context):
            return rng.random(len(vectors))
        predicted, _ = model(mx.array(context[None]))
        return np.asarray(vectors @ np.asarray(predicted[0, -1].astype(mx.float32)), np.float64)

    return scores
