"""Codes with a dictionary drawn by chance, and what to ask of it."""

from __future__ import annotations

import random

import mlx.core as mx
import numpy as np

from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.config import CodesConfig
from wotd_mlx.schemas import Attribute


def random_codes(seed: int, dims: int | None = None, words: int | None = None) -> Autoencoder:
    """A dictionary of few or some hundred words, with one to three attributes; some have no children, some few bits."""
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    dims = dims or (5, 16, 96)[seed % 3]
    words = words or (30, 400, 900)[seed // 3 % 3]
    sizes = [rng.randint(1, 4) for _ in range(1 + seed % 3)]
    levels = (*(size + rng.randint(1, 3) for size in sizes), *(() if seed % 2 else (2,)), (2, 40, 2048)[seed // 2 % 3])
    attributes = [Attribute(f"a{n}", tuple(map(str, range(size)))) for n, size in enumerate(sizes)]
    model = Autoencoder(dims, CodesConfig("hvq", levels), attributes)
    x = draw.normal(size=(words, dims)) * np.geomspace(3, 0.1, dims) + draw.normal(size=dims)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    labels = np.stack([draw.integers(-1, size, words) for size in sizes], axis=1)
    model.start(x, seed)
    for reader in (model.reader, model.text_reader):
        reader.prior = mx.ones_like(reader.prior)
        reader.linear.weight = mx.array(draw.normal(size=reader.linear.weight.shape), mx.float32)
    model.know(x, labels, seed)
    return model


def asked(model: Autoencoder, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, D) of length 1 and probabilities (N, ΣV): some attributes are told, some aren't."""
    draw = np.random.default_rng(seed + 1000)
    vectors = draw.normal(size=(count, len(np.array(model.mean)))) + 4 * np.array(model.mean)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = [draw.dirichlet(np.full(size, 0.4), count) for size in model.text_reader.sizes]
    silent = draw.random((len(parts), count)) < 0.3
    parts = [np.where(quiet[:, None], 0, part) for quiet, part in zip(silent, parts, strict=True)]
    return vectors.astype(np.float32), np.concatenate(parts, axis=1).astype(np.float32)
