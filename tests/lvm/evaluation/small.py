"""Small articles, embeddings and trained folders that the tests of this folder share."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from wotd_mlx.config.lvm import Recipe
from wotd_mlx.lvm import build, preset
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.store import ModelFolder, Settings, untrained
from wotd_mlx.lvm.training.history import Epoch

D = 16


def articles(*lengths: int, topics: tuple[str, ...] = ()) -> Sentences:
    """Articles of so many sentences each."""
    texts = tuple(f"sentence {place} of article {n}." for n, length in enumerate(lengths) for place in range(length))
    titles = tuple(f"article {n}" for n in range(len(lengths)))
    return Sentences(texts, np.cumsum([0, *lengths]), titles, topics or ("",) * len(lengths))


def embeddings(rows: int, dims: int = D, seed: int = 0) -> np.ndarray:
    """Random unit vectors."""
    draws = np.random.default_rng(seed).standard_normal((rows, dims)).astype(np.float32)
    return draws / np.linalg.norm(draws, axis=1, keepdims=True)


def model(dims: int = D, base: str = "none") -> NextVector:
    """A tiny GRU with random weights."""
    mx.random.seed(0)
    made = NextVector(build("gru", preset("gru", "tiny", dims=dims, width=8)), base)
    made.eval()
    return made


def trained(out: Path, name: str = "gru", dims: int = D, **changes: object) -> ModelFolder:
    """A folder as a training leaves it: random weights, a history of two epochs."""
    recipe = Recipe(**{"context": 6, "base": "gates", **changes})
    sizes = {"dims": dims, "width": 8} | ({"depth": 1} if name in ("gru", "lstm") else {})
    architecture = asdict(preset(name, "tiny", **sizes))
    settings = Settings(name, "tiny", architecture, recipe, "some-embedding", "wiki.tsv", "digest", 0.3, 0.2)
    folder = ModelFolder(out, name)
    folder.write_settings(settings)
    weights = dict(tree_flatten(untrained(settings).parameters()))
    for n, (key, weight) in enumerate(sorted(weights.items())):
        draws = 0.3 * np.random.default_rng(n).standard_normal(weight.shape).astype(np.float32)
        weights[key] = type(weight)(draws)
    history = [Epoch(n, 1.0, 0.1, 0.0, 1.0 / n, 0.1, 0.0, 1e-3, 1.0, 2.5, 1000 * n, n == 1) for n in (1, 2)]
    folder.write_weights(folder.best, weights, settings, history[:1])
    folder.write_history(history)
    folder.write_weights(folder.final, weights, settings, history)
    return folder
