"""The embeddings of the sentences: embedded once, kept in a file beside the models, mapped into memory when used."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wotd_mlx.arrays import Embeddings
from wotd_mlx.config.ranges import Natural
from wotd_mlx.io.files import open_file
from wotd_mlx.io.json import read_json, write_json
from wotd_mlx.io.lock import locked
from wotd_mlx.io.records import line_of
from wotd_mlx.lvm.data.sentences import Sentences
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")


_BLOCK = 1024
"""Sentences embedded between two savings."""
_NPY, _PART, _REACHED = ".npy", ".part", ".json"
_LEFT = re.compile(r"[0-9a-f]{16}\.(part|json)")
_HINT = "give a .npy file of shape (sentences, D)"


def sentence_embeddings(sentences: Sentences, embedding: str, folder: Path) -> Embeddings:
    """(N, D) unit vectors, mapped from ``folder``; embedded there first if need be, from where a killed run stopped.

    Args:
        embedding: an embedding model, or a ``.npy`` file with the embeddings.

    Raises:
        MissingError: no such file.
        BusyError: another process embeds into the folder.
        WotdError: the file has another number of rows, or an embedding that isn't finite or isn't of length 1.
    """
    if embedding.endswith(_NPY):
        whole = Path(embedding)
    else:
        whole = folder / f"{digest(sentences, embedding)}{_NPY}"
        if not whole.exists():
            with locked(folder):
                _sweep(folder, whole)
                _embed(sentences, embedding, whole)
        # Left by a kill just after the last rename.
        whole.with_suffix(_REACHED).unlink(missing_ok=True)
    return _unit(check(_map(whole), len(sentences), whole), whole)


def digest(sentences: Sentences, embedding: str) -> str:
    """What tells one set of embeddings from another: the sentences in their order, and what embeds them.

    That is a published model's name, or what a file or folder of the user's holds.

    Raises:
        MissingError: the embeddings are to come from a file that isn't there.
    """
    found = hashlib.sha256("\n".join([embedding, *sentences.texts]).encode("utf-8", "replace"))
    own = Path(embedding) if embedding.endswith(_NPY) else Path(embedding, "model.safetensors")
    if embedding.endswith(_NPY) or own.is_file():
        with open_file(own, _HINT) as file:
            for block in iter(partial(file.read, 1 << 20), b""):
                found.update(block)
    return found.hexdigest()[:16]


def _sweep(folder: Path, whole: Path) -> None:
    """Remove what kills left of other embeddings than ``whole``: their texts or their model have changed since."""
    for file in folder.iterdir():
        if _LEFT.fullmatch(file.name) and file.stem != whole.stem:
            file.unlink()
            log.info("removed %s, begun and never finished", file)


def _embed(sentences: Sentences, embedding: str, whole: Path) -> None:
    from wotd_mlx.embed.embedder import BertEmbedder

    embedder = BertEmbedder(embedding)
    part, reached = whole.with_suffix(_PART), whole.with_suffix(_REACHED)
    shape, head = (len(sentences), embedder.dims), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    row = 4 * embedder.dims
    done = _done(part, reached, head.getvalue(), row)
    if done:
        log.info("embedding goes on after %s of %s sentences", f"{done:,}", f"{len(sentences):,}")
    else:
        part.unlink(missing_ok=True)
    # Not through a map: on a full disk the write fails with an error, where a map would end the process.
    with part.open("r+b" if done else "xb") as out, progress("embedding sentences", len(sentences)) as advance:
        out.write(head.getvalue())
        out.seek(done * row, io.SEEK_CUR)
        out.truncate()
        advance(done)
        for start in range(done, len(sentences), _BLOCK):
            texts = sentences.texts[start : start + _BLOCK]
            out.write(np.asarray(embedder.embed(texts, advance), "<f4").tobytes())
            out.flush()
            os.fsync(out.fileno())
            write_json(reached, asdict(_Reached(start + len(texts))))
    part.replace(whole)


@dataclass(frozen=True)
class _Reached:
    """How many embeddings are on the disk for sure."""

    rows: Natural


def _done(part: Path, reached: Path, head: bytes, row: int) -> int:
    """How many embeddings of ``row`` bytes a killed run left to go on with."""
    try:
        done = read_json(reached, _Reached, "").rows
        with open_file(part, "") as file:
            same = file.read(len(head)) == head
            whole = os.fstat(file.fileno()).st_size >= len(head) + done * row
    except WotdError:
        return 0
    return done if same and whole and not part.is_symlink() else 0


def _map(path: Path) -> Embeddings:
    open_file(path, _HINT).close()
    try:
        # A shape that no file could hold overflows; the error that follows says enough.
        with np.errstate(all="ignore"):
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # NumPy reads the head of a file as Python, and fails as Python may
        told = line_of(error)
        raise WotdError(f"{path} can't be read as .npy ({told}); remove it, or embed the sentences again") from error


def check(x: Embeddings, rows: int, where: Path | str) -> Embeddings:
    """Return x, (N, D) float32 and finite.

    Raises:
        WotdError: another shape or type, or a row with NaN or infinity; the first such is named.
    """
    if x.ndim != 2 or len(x) != rows or not x.shape[1] or x.dtype != np.float32:
        raise WotdError(f"{where} holds {x.dtype} of shape {x.shape}; expected float32 of shape ({rows}, D)")
    bad = [start + np.flatnonzero(~np.isfinite(x[start : start + 8192]).all(axis=1)) for start in range(0, rows, 8192)]
    wrong = np.concatenate(bad)
    if len(wrong):
        raise WotdError(f"{where}: embedding {wrong[0]} of {rows} is not finite ({len(wrong)} such); embed it again")
    return x


def _unit(x: Embeddings, where: Path) -> Embeddings:
    """Return x, (N, D), whose rows have length 1: cosines are taken as products, and nothing would show otherwise."""
    blocks = (x[start : start + 8192] for start in range(0, len(x), 8192))
    lengths = np.concatenate([np.linalg.norm(block.astype(np.float64), axis=1) for block in blocks])
    wrong = np.flatnonzero(np.abs(lengths - 1) > 1e-3)
    if len(wrong):
        raise WotdError(
            f"{where}: embedding {wrong[0]} of {len(x)} has length {lengths[wrong[0]]:.3g}, expected 1 "
            f"({len(wrong)} such); divide each by its length"
        )
    return x
