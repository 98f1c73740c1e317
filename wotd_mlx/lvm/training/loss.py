"""What a training brings down: the squared distance to the next vector, and how easily others are taken for it."""

from __future__ import annotations

import mlx.core as mx

from wotd_mlx.config.lvm import Recipe
from wotd_mlx.lvm.training.windows import Batch

_NEVER = -1e9


def normalised(x: mx.array) -> mx.array:
    """x (…, D) -> unit vectors; zero stays zero."""
    return x * mx.rsqrt(mx.maximum((x * x).sum(axis=-1, keepdims=True), 1e-12))


def cosines(prediction: mx.array, batch: Batch) -> tuple[mx.array, mx.array]:
    """(B, L) each: cosine to the next vector, and the margin: that less the cosine to the last vector seen."""
    unit = normalised(prediction)
    cosine = (unit * batch.target).sum(axis=-1)
    return cosine, cosine - (unit * batch.x).sum(axis=-1)


def losses(prediction: mx.array, batch: Batch, recipe: Recipe) -> mx.array:
    r"""(B, L) the loss at each position.

    .. math:: \|\hat x - x\|^2 + c \log \left(1 + \sum_k e^{(\cos(\hat x, x_k) - \cos(\hat x, x))/\tau}\right)

    over the allowed candidates k (InfoNCE, van den Oord et al. 2018, arXiv 1807.03748); c and τ are the recipe's.
    """
    distance = ((prediction - batch.target) ** 2).sum(axis=-1)
    if not recipe.contrastive:
        return distance
    unit = normalised(prediction)
    right = (unit * batch.target).sum(axis=-1) / recipe.temperature
    others = mx.where(batch.allowed(), unit @ batch.candidates.T / recipe.temperature, _NEVER)
    total = mx.logaddexp(right, mx.logsumexp(others, axis=-1))
    return distance + recipe.contrastive * (total - right)
