"""What a model expects after each context: windows read in batches that stay small, whatever the data's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Embeddings
from wotd_mlx.lvm.data.sentences import Rows, Sentences
from wotd_mlx.schemas import WotdError

Forecast = Callable[[Sentences, Embeddings, Rows], Embeddings]
"""Anything that stands in a table: sentences, their embeddings (N, D) and M target rows -> predictions (M, D)."""

BEFORE = 5
"""Sentences of its article that stand before a target, at least."""
_LARGEST = 1e9
"""No number of a prediction is as large; squares of far larger ones overflow."""
_NUMBERS = 1 << 20
_MAX_WINDOWS = 512


class Windows(NamedTuple):
    """Contexts of B targets, oldest embedding first."""

    rows: Rows
    """(B, L); after a window's last position its newest row is repeated, so that a target's own is never there."""
    length: Rows
    """(B,) real positions of each."""


def windows(sentences: Sentences, targets: Rows, context: int) -> Windows:
    """The last min(context, position) rows before each target; L is the longest of them."""
    length = np.minimum(context, sentences.position[targets])
    rows = (targets - length)[:, None] + np.arange(length.max(initial=1))
    return Windows(np.minimum(rows, targets[:, None] - 1), length)


def predict(
    model: nn.Module, sentences: Sentences, embeddings: Embeddings, targets: Rows, context: int, numbers: int = _NUMBERS
) -> Embeddings:
    """Predictions (M, D) of M target rows, each from the ``context`` embeddings before it or as many as there are.

    Args:
        model: a NextVector, or what it is added to: anything called x (B, L, D) -> (B, L, D) and a state.
        numbers: most numbers that the windows of a batch hold, B·L·D: what bounds the memory.

    Raises:
        WotdError: a prediction that isn't finite, or far from any unit vector.
    """
    D = embeddings.shape[1]
    found = np.empty((len(targets), D), np.float32)
    batch = min(_MAX_WINDOWS, max(1, numbers // (context * D)))
    # Windows of like length side by side: little is padded.
    order = np.argsort(np.minimum(context, sentences.position[targets]), kind="stable")
    for start in range(0, len(targets), batch):
        chosen = order[start : start + batch]
        rows, length = windows(sentences, targets[chosen], context)
        y, _ = model(mx.array(embeddings[rows]))
        newest = y[mx.arange(len(chosen)), mx.array(length - 1)]
        found[chosen] = np.asarray(newest.astype(mx.float32))
    # NaN is below nothing.
    if len(wrong := targets[~(np.abs(found) < _LARGEST).all(axis=1)]):
        raise WotdError(
            f"the prediction for sentence {wrong[0]} is not finite, or beyond {_LARGEST:g} ({len(wrong)} of "
            f"{len(targets)} such); the weights are damaged or diverged: train again"
        )
    return found
