"""Files that are whole or not there, and folders that one process writes to at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wotd_mlx.schemas import WotdError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one training; it is made if need be.

    Raises:
        WotdError: another process holds it, or it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WotdError(f"the folder {folder} can't be made: {error.strerror}") from error
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WotdError(
                f"another training is writing to {folder}; wait for it, or give this one another --out"
            ) from error
        yield


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], object]) -> None:
    """Write under a temporary name, flush to the disk, rename: a reader sees the old file or the new one, whole.

    Args:
        data: the content, or a function that writes it to an open file, where it would be large in memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            data(file) if callable(data) else file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only the owner reads; a run folder is to be shared as the umask says.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk doesn't say which file it was
        raise
