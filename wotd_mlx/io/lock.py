"""A folder that one process writes to at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wotd_mlx.io.files import sweep
from wotd_mlx.schemas import BusyError, WotdError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one training; it is made if need be, and what dead processes left half-made in it goes.

    Raises:
        BusyError: another process holds it.
        WotdError: it can't be made, or its ``.lock`` is a link or no plain file, which is left alone.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WotdError(f"the folder {folder} can't be made: {error.strerror}") from error
    file = folder / LOCK
    try:
        # Nothing is truncated or followed: whoever made the folder may have put anything under that name.
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        what = "is a link" if error.errno in (errno.ELOOP, errno.EMLINK) else f"can't be opened ({error.strerror})"
        raise WotdError(f"{file} {what}; expected a plain file that this program makes: remove it") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise WotdError(f"{file} is no plain file; expected one that this program makes: remove it")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = f"another training is writing to {folder}; wait for it, or give this one another --out"
            raise BusyError(told) from error
        sweep(folder)
        yield
    finally:
        os.close(handle)
