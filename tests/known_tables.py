"""A table of known words that is small enough to make on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.io.safetensors import Parts
from wotd_mlx.known import KnownWords
from wotd_mlx.schemas import Attribute

WORDS = ("joy", "joys", "joyful", "grief", "a quiet joy", "café", "thou", "moon")
STYLE = Attribute("style", ("classical", "modern", "romantic"))
ERA = Attribute("era", ("victorian", "contemporary"))


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def small_table(seed: int = 0, width: int = 16, words: tuple[str, ...] = WORDS, **changes: Any) -> KnownWords:
    """Random vectors and labels; each word has as many senses as its row modulo 3."""
    rng = np.random.default_rng(seed)
    n = len(words)
    owner = np.repeat(np.arange(n), np.arange(n) % 3).astype(np.int32)
    labels = rng.integers(-1, 2, (n, 2)).astype(np.int8)
    fields: dict[str, Any] = {
        "words": words,
        "ids": np.stack([np.arange(n) % 8, np.arange(n) % 3, np.arange(n)], axis=1).astype(np.int32),
        "labels": labels,
        "guesses": np.where(labels < 0, rng.integers(-1, 2, (n, 2)), labels).astype(np.int8),
        "probability": np.where(labels < 0, rng.random((n, 2)), 1).astype(np.float32),
        "word_rows": Int8Rows.of(unit(rng.normal(size=(n, width)))),
        "sense_rows": Int8Rows.of(unit(rng.normal(size=(len(owner), width)))),
        "owner": owner,
        "meet": rng.random(n) < 0.5,
        "difficulty": rng.integers(0, 4, n).astype(np.int8),
        "attributes": (STYLE, ERA),
        "levels": (8, 3, max(n, 2048)),
        "embedding": "tiny",
        "glosses": "0123",
        "source": "made up",
        "centre": (0.1 * rng.normal(size=width)).astype(np.float32),
    }
    return KnownWords(**(fields | changes))


def stored(file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a table's file as they are stored, and the texts beside them."""
    parts = Parts(file, "")
    kinds = ["uint8", "int8", "uint16", "int32", "float32"]
    return {name: parts.array(name, kinds, [None] * len(parts.shape(name))) for name in parts.digests}, parts.metadata
