"""Tables of known words, damaged in their bytes, or in their arrays with digests that fit."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutate import damaged
from tests.known_tables import small_table, stored
from wotd_mlx.io.safetensors import write_parts
from wotd_mlx.known import KnownWords
from wotd_mlx.schemas import WotdError

documented = (WotdError,)
quick = 400


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-known-"))
    small_table().write(folder / "whole")
    return folder


def make(rng: random.Random) -> bytes:
    """A table with one array of another type, shape or value, or other bytes."""
    if rng.random() < 0.4:
        return damaged(rng, (_folder() / "whole").read_bytes())
    arrays, metadata = stored(_folder() / "whole")
    name = rng.choice(sorted(arrays))
    array: Any = arrays[name]
    match rng.randrange(5):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = array.astype(rng.choice([np.float32, np.int32, np.uint8, np.bool_, np.float16]))
        case 2:
            arrays[name] = rng.choice([array.ravel(), array[None], array.T, array[:0], array[1:]])
        case 3:
            plain = array.copy()
            odd = [np.nan, np.inf, 1e30] if plain.dtype == np.float32 else range(np.iinfo(plain.dtype).max + 1)
            plain.flat[rng.randrange(plain.size)] = rng.choice(odd)
            arrays[name] = plain
        case _:
            raw = damaged(rng, array.tobytes())
            raw = raw[: len(raw) // array.itemsize * array.itemsize]
            fits = len(raw) == array.nbytes
            arrays[name] = np.frombuffer(raw, array.dtype).reshape(array.shape if fits else -1)
    write_parts(_folder() / "changed", arrays, metadata)
    return (_folder() / "changed").read_bytes()


def read(made: bytes) -> None:
    """Read all of it, and look words up."""
    file = _folder() / "read"
    file.write_bytes(made)
    known = KnownWords.read(file, "train again")
    assert np.isfinite(known.vectors).all()
    assert np.isfinite(known.senses).all()
    for row, word in enumerate(known.words):
        known.row(word)
        known.evidence_of(row)
        known.labels_of(row)
        known.owner_of(known.id_of(row))
    assert len(known.nearest(known.vectors[0], 3)) <= 3
