"""Targets and predictions in the plane: t-SNE by scikit-learn, or UMAP, whichever is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit

log = logging.getLogger("wotd_mlx")

MAX_TARGETS = 400
_MAX_POINTS = 3000
"""t-SNE of so many takes some ten seconds."""
_MIN_POINTS = 16


def shown_targets(targets: int, models: int) -> list[int]:
    """Which of the targets are shown: spread evenly, so many that all models' points together stay few."""
    count = min(targets, MAX_TARGETS, _MAX_POINTS // (models + 1))
    return [int(n) for n in np.linspace(0, targets - 1, count).round()] if count else []


def project(targets: Embeddings, predictions: Mapping[str, Embeddings]) -> dict[str, Any] | None:
    """Bring targets (M, D) and each model's predictions (M, D) into one plane, by direction alone.

    None, and a line in the log, where neither library is installed or there are too few points to tell neighbours.
    """
    points = unit(np.concatenate([targets, *predictions.values()]))
    if len(points) < _MIN_POINTS:
        log.info("no picture of the space: %d points, expected %d or more", len(points), _MIN_POINTS)
        return None
    # Fifty directions hold nearly all of it, and the search for neighbours is several times faster.
    points = points - points.mean(axis=0)
    if min(points.shape) > 50:
        points = points @ np.linalg.svd(points, full_matrices=False)[2][:50].T
    if find_spec("sklearn"):
        tsne = import_module("sklearn.manifold").TSNE
        perplexity = min(30.0, (len(points) - 1) / 3)
        method, plane = "t-SNE", tsne(perplexity=perplexity, init="pca", random_state=0).fit_transform(points)
    elif find_spec("umap"):
        umap = import_module("umap").UMAP
        method, plane = "UMAP", umap(n_neighbors=min(15, len(points) - 1), random_state=0).fit_transform(points)
    else:
        log.info("no picture of the space: it needs scikit-learn or UMAP; `pip install scikit-learn`, evaluate again")
        return None
    parts = np.split(np.round(np.asarray(plane, np.float64), 4), len(predictions) + 1)
    named = {name: part.tolist() for name, part in zip(predictions, parts[1:], strict=True)}
    return {"method": method, "targets": parts[0].tolist(), "predictions": named}
