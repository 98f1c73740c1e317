"""What a model has to beat: copying, averaging, and two kinds of least squares, fitted on training articles alone."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.arrays import Embeddings, Vectors
from wotd_mlx.lvm.data.sentences import Rows, Sentences
from wotd_mlx.lvm.evaluation.predict import BEFORE, Forecast, windows
from wotd_mlx.schemas import WotdError

SCALARS = 5
"""Newest embeddings that least squares looks at."""
RIDGE = 300.0
"""λ of the ridge on the residual."""
_BLOCK = 2048


def baselines(sentences: Sentences, embeddings: Embeddings, training: Rows, context: int) -> dict[str, Forecast]:
    """Name -> baseline, in the order of the tables; no one sees more than ``context`` embeddings.

    Args:
        training: the articles to fit on.

    Raises:
        WotdError: none of them has a target.
    """
    count = min(SCALARS, context)
    scalars, matrix = fit(sentences, embeddings, training, count)
    return {
        "copy-last": _copy_last,
        "mean of context": partial(_mean, context=context),
        "five scalars": partial(_fitted, weights=scalars),
        "ridge": partial(_fitted, weights=matrix.reshape(count, *matrix.shape[1:] * 2)),
    }


def fit(
    sentences: Sentences, embeddings: Embeddings, articles: Rows, count: int = SCALARS, ridge: float = RIDGE
) -> tuple[Vectors, Vectors]:
    r"""Least squares from the K newest embeddings, newest first: K scalars, and a matrix that mends what they leave.

    .. math::
        \min_w \sum \| x_t - \sum_k w_k x_{t-k} \|^2, \qquad
        \min_A \sum \| x_t - \sum_k w_k x_{t-k} - A^T c_t \|^2 + \lambda \|A\|^2, \quad c_t = (x_{t-1} … x_{t-K})

    Both follow from :math:`G = \sum c_t c_t^T` and :math:`R = \sum c_t x_t^T`, which are summed block by block in
    fp64: the memory is that of G, whatever the number of articles. The scalars' own sums are traces of G's and R's
    D × D blocks, and the residual's right side is :math:`R - G (w \otimes I)`.

    Shape:
        -> w (K,), and A + w ⊗ I (K·D, D), which takes c_t to the prediction.

    Raises:
        WotdError: no article has a target.
    """
    from scipy.linalg import solve

    targets, D = sentences.rows(articles, BEFORE), embeddings.shape[1]
    if not len(targets):
        raise WotdError(
            f"none of the {len(articles)} training articles has more than {BEFORE} sentences, so there is nothing to "
            "fit the baselines on; give longer articles"
        )
    gram, right = np.zeros((count * D, count * D)), np.zeros((count * D, D))
    for start in range(0, len(targets), _BLOCK):
        block = targets[start : start + _BLOCK]
        known = _newest(embeddings, block, count).reshape(len(block), -1)
        gram += known.T @ known
        right += known.T @ embeddings[block]
    within = np.einsum("kiji->kj", gram.reshape(count, D, count, D))
    # Copies of one embedding alone make the sums singular; the least of all solutions is as good as any.
    scalars = np.linalg.lstsq(within, np.einsum("kii->k", right.reshape(count, D, D)), rcond=None)[0]
    start_from = np.kron(scalars[:, None], np.eye(D))
    gram_ridge = gram + ridge * np.eye(len(gram))
    mended = solve(gram_ridge, right - gram @ start_from, assume_a="pos", overwrite_a=True)
    return scalars.astype(np.float32), (start_from + mended).astype(np.float32)


def _newest(embeddings: Embeddings, targets: Rows, count: int) -> Embeddings:
    """(M, K, D), newest first."""
    found: NDArray[np.float32] = embeddings[targets[:, None] - np.arange(1, count + 1)]
    return found


def _copy_last(sentences: Sentences, embeddings: Embeddings, targets: Rows) -> Embeddings:
    return np.asarray(embeddings[targets - 1])


def _mean(sentences: Sentences, embeddings: Embeddings, targets: Rows, *, context: int) -> Embeddings:
    found = np.empty((len(targets), embeddings.shape[1]), np.float32)
    block = max(1, _BLOCK // context)
    for start in range(0, len(targets), block):
        rows, length = windows(sentences, targets[start : start + block], context)
        real = np.arange(rows.shape[1]) < length[:, None]
        found[start : start + block] = np.einsum("bld,bl->bd", embeddings[rows], real / length[:, None], optimize=True)
    return found


def _fitted(sentences: Sentences, embeddings: Embeddings, targets: Rows, *, weights: Vectors) -> Embeddings:
    """By a scalar (K,) or a matrix (K, D, D) an embedding, newest first."""
    formula = "mkd,k->md" if weights.ndim == 1 else "mkd,kde->me"
    found = np.empty((len(targets), embeddings.shape[1]), np.float32)
    for start in range(0, len(targets), _BLOCK):
        known = _newest(embeddings, targets[start : start + _BLOCK], len(weights))
        found[start : start + _BLOCK] = np.einsum(formula, known, weights, optimize=True)
    return found
