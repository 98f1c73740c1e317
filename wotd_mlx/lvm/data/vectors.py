"""The vectors of the sentences: embedded once, kept in a file beside the models, mapped into memory when used."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wotd_mlx.io.files import write_atomically
from wotd_mlx.io.lock import locked
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
        WotdError: the file has another number of rows, or a vector that isn't finite or isn't of length 1; another
            process embeds into the folder.
    """
    if embedding.endswith(".npy"):
        whole = Path(embedding)
    else:
        whole = folder / f"{digest(sentences, embedding)}.npy"
        if not whole.exists():
            with locked(folder):
                _embed(sentences, embedding, whole)
    return _unit(check(_map(whole), len(sentences), whole), whole)


def digest(sentences: Sentences, embedding: str) -> str:
    """What tells one set of vectors from another: the sentences in their order, and what embeds them."""
    text = "\n".join([embedding, *sentences.texts])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _embed(sentences: Sentences, embedding: str, whole: Path) -> None:
    from wotd_mlx.embed.embedder import BertEmbedder

    embedder = BertEmbedder(embedding)
    part, reached = whole.with_suffix(".part"), whole.with_suffix(".json")
    shape, head = (len(sentences), embedder.dims), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    row = 4 * embedder.dims
    done = _done(part, reached, head.getvalue(), row)
    if done:
        log.info("embedding goes on after %s of %s sentences", f"{done:,}", f"{len(sentences):,}")
    # Not through a map: on a full disk the write fails with an error, where a map would end the process.
    with part.open("r+b" if done else "wb") as out, progress("embedding sentences", len(sentences)) as advance:
        out.write(head.getvalue())
        out.seek(done * row, io.SEEK_CUR)
        out.truncate()
        advance(done)
        for start in range(done, len(sentences), _BLOCK):
            texts = sentences.texts[start : start + _BLOCK]
            out.write(np.asarray(embedder.embed(texts, advance), "<f4").tobytes())
            out.flush()
            os.fsync(out.fileno())
            write_atomically(reached, json.dumps({"rows": start + len(texts)}).encode())
    part.replace(whole)
    reached.unlink()


def _done(part: Path, reached: Path, head: bytes, row: int) -> int:
    """How many vectors of ``row`` bytes a killed run left to go on with."""
    try:
        done = json.loads(reached.read_text())["rows"]
        with part.open("rb") as file:
            same = file.read(len(head)) == head
        whole = isinstance(done, int) and done >= 0 and part.stat().st_size >= len(head) + done * row
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return done if same and whole else 0


def _map(path: Path) -> Vectors:
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except FileNotFoundError as error:
        raise WotdError(f"no vectors {path}; expected a .npy file of shape (sentences, D)") from error
    except Exception as error:  # NumPy reads the head of a file as Python, and fails as Python may
        raise WotdError(f"{path} can't be read as .npy ({error}); remove it, or embed the sentences again") from error


def check(x: Vectors, rows: int, where: Path | str) -> Vectors:
    """Return x, (N, D) float32 and finite.

    Raises:
        WotdError: another shape or type, or a row with NaN or infinity; the first such is named.
    """
    if x.ndim != 2 or len(x) != rows or not x.shape[1] or x.dtype != np.float32:
        raise WotdError(f"{where} holds {x.dtype} of shape {x.shape}; expected float32 of shape ({rows}, D)")
    bad = [start + np.flatnonzero(~np.isfinite(x[start : start + 8192]).all(axis=1)) for start in range(0, rows, 8192)]
    wrong = np.concatenate(bad)
    if len(wrong):
        raise WotdError(f"{where}: vector {wrong[0]} of {rows} is not finite ({len(wrong)} such); embed it again")
    return x


def _unit(x: Vectors, where: Path) -> Vectors:
    """Return x, (N, D), whose rows have length 1: cosines are taken as products, and nothing would show otherwise."""
    blocks = (x[start : start + 8192] for start in range(0, len(x), 8192))
    lengths = np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1) for block in blocks])
    wrong = np.flatnonzero(np.abs(lengths - 1) > 1e-3)
    if len(wrong):
        raise WotdError(
            f"{where}: vector {wrong[0]} of {len(x)} has length {lengths[wrong[0]]:.3g}, expected 1 "
            f"({len(wrong)} such); divide each by its length"
        )
    return x
