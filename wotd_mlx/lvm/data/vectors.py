"""The vectors of the sentences: embedded once, kept in a file beside the models, mapped into memory when used."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.files import write_atomically
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

Vectors = NDArray[np.float32]
_BLOCK = 1024
"""Sentences embedded between two savings."""


def sentence_vectors(sentences: Sentences, embedding: str, folder: Path) -> Vectors:
    """(N, D) unit vectors, mapped from ``folder``; embedded there first if need be, from where a killed run stopped.

    Args:
        embedding: an embedding model, or a ``.npy`` file with the vectors.

    Raises:
        WotdError: the file has another number of rows, or a vector that isn't finite.
    """
    if embedding.endswith(".npy"):
        return check(_map(Path(embedding)), len(sentences), Path(embedding))
    whole = folder / f"{digest(sentences, embedding)}.npy"
    if not whole.exists():
        _embed(sentences, embedding, whole)
    return check(_map(whole), len(sentences), whole)


def digest(sentences: Sentences, embedding: str) -> str:
    """What tells one set of vectors from another: the sentences in their order, and what embeds them."""
    text = "\n".join([embedding, *sentences.texts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _embed(sentences: Sentences, embedding: str, whole: Path) -> None:
    from wotd_mlx.embed.embedder import BertEmbedder

    embedder = BertEmbedder(embedding)
    part, reached = whole.with_suffix(".part"), whole.with_suffix(".json")
    whole.parent.mkdir(parents=True, exist_ok=True)
    done = json.loads(reached.read_text())["rows"] if part.exists() and reached.exists() else 0
    if done:
        log.info("embedding goes on after %s of %s sentences", f"{done:,}", f"{len(sentences):,}")
    shape = (len(sentences), embedder.dims)
    # Version 1 of the format: `open_memmap` opens for writing what it can read back.
    out = np.lib.format.open_memmap(part, "r+" if done else "w+", np.float32, shape)
    with progress("embedding sentences", len(sentences)) as advance:
        advance(done)
        for start in range(done, len(sentences), _BLOCK):
            texts = sentences.texts[start : start + _BLOCK]
            out[start : start + len(texts)] = embedder.embed(texts, advance)
            out.flush()
            write_atomically(reached, json.dumps({"rows": start + len(texts)}).encode())
    del out
    part.replace(whole)
    reached.unlink()


def _map(path: Path) -> Vectors:
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except FileNotFoundError as error:
        raise WotdError(f"no vectors {path}; expected a .npy file of shape (sentences, D)") from error
    except (OSError, ValueError) as error:
        raise WotdError(f"{path} can't be read as .npy ({error}); remove it, or embed the sentences again") from error


def check(x: Vectors, rows: int, where: Path | str) -> Vectors:
    """Return x, (N, D) float32 and finite.

    Raises:
        WotdError: another shape or type, or a row with NaN or infinity; the first such is named.
    """
    if x.ndim != 2 or len(x) != rows or x.dtype != np.float32:
        raise WotdError(f"{where} holds {x.dtype} of shape {x.shape}; expected float32 of shape ({rows}, D)")
    bad = [start + np.flatnonzero(~np.isfinite(x[start : start + 8192]).all(axis=1)) for start in range(0, rows, 8192)]
    wrong = np.concatenate(bad)
    if len(wrong):
        raise WotdError(f"{where}: vector {wrong[0]} of {rows} is not finite ({len(wrong)} such); embed it again")
    return x
