"""Files and folders that are whole or not there, and what a process that was killed leaves of them."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wotd_mlx.schemas import MissingError, WotdError

log = logging.getLogger("wotd_mlx")

MAX_BYTES = 1 << 30
"""Of a file that is read whole; weights are mapped and may be larger."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def open_file(path: Path, hint: str) -> BinaryIO:
    """Open a plain file for reading; a pipe or a device, which might never end, is refused.

    Args:
        hint: what to do where the file can't be read, such as ``give a .jsonl file of words``.

    Raises:
        MissingError: there is no such file.
        WotdError: it can't be opened, or is no plain file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"no file {path}; {hint}") from error
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise WotdError(f"{path} can't be read ({getattr(error, 'strerror', None) or error}); {hint}") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise WotdError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, expected a file; {hint}")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, hint: str, limit: int = MAX_BYTES) -> bytes:
    """All of a plain file.

    Raises:
        MissingError: there is no such file.
        WotdError: it can't be read, is no plain file, or is larger than ``limit`` bytes.
    """
    with open_file(path, hint) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise WotdError(f"{path} has {size:,} bytes, expected at most {limit:,}; {hint}")
        try:
            return file.read()
        except OSError as error:
            raise WotdError(f"{path} can't be read ({error.strerror}); {hint}") from error


def read_text(path: Path, hint: str, limit: int = MAX_BYTES) -> str:
    """All of a text in UTF-8, with or without a byte order mark.

    Raises:
        MissingError: there is no such file.
        WotdError: as :func:`read_bytes`, or it isn't UTF-8.
    """
    try:
        return read_bytes(path, hint, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WotdError(f"{path}: not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from error


def write_atomically(path: Path, data: bytes | Callable[[BinaryIO], object]) -> None:
    """Write under a temporary name, flush to the disk, rename: a reader sees the old file or the new one, whole.

    Args:
        data: the content, or a function that writes it to an open file, where it would be large in memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _claimed(path, _make_file) as (temporary, handle), os.fdopen(os.dup(handle), "wb") as file:
            data(file) if callable(data) else file.write(data)
            file.flush()
            os.fsync(handle)
            temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk doesn't say which file it was
        raise


def append_lines(path: Path, lines: bytes) -> None:
    """Add lines to a text, behind whatever other processes add to it at the same time; a link is followed.

    A last line that has no end gets one first. What can't be written whole, as on a full disk, isn't written at all.

    Raises:
        WotdError: it can't be opened, or is no plain file.
    """
    hint = "give a file of lines, or a name for a new one"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except (OSError, ValueError) as error:
        raise WotdError(f"{path} can't be written ({getattr(error, 'strerror', None) or error}); {hint}") from error
    with os.fdopen(handle, "r+b", buffering=0) as file:
        if not stat.S_ISREG(mode := os.fstat(handle).st_mode):
            raise WotdError(f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, expected a file; {hint}")
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        begin = b"" if not size or os.pread(handle, 1, size - 1) == b"\n" else b"\n"
        try:
            left = memoryview(begin + lines)
            while left:
                left = left[file.write(left) :]
            os.fsync(handle)
        except OSError as error:
            file.truncate(size)
            raise WotdError(f"{path} can't be written ({error.strerror}); {hint}") from error


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A path to make a file or folder at, which becomes ``out`` when all went well; what was there goes after that.

    It lies beside ``out``, and the two swap names in one step: at each moment ``out`` is the old one or the new one.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    sweep(out.parent, deep=False)
    with _claimed(out, _make_folder) as (temporary, _):
        made = temporary / out.name
        yield made
        if os.path.lexists(out):
            _exchange(made, out)
        else:
            made.rename(out)


def sweep(folder: Path, deep: bool = True) -> None:
    """Remove what dead processes left half-made in a folder, and say so; what a living one works on stays.

    Args:
        deep: look into the folders in it too.
    """
    for at, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            if _TEMPORARY.fullmatch(name):
                _remove_abandoned(Path(at, name))
        folders[:] = [name for name in folders if deep and not _TEMPORARY.fullmatch(name)]


def _remove_abandoned(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # gone by now, or not ours to read
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
        log.info("removed %s, which a process that ended left half-made", path)
    except OSError:
        pass  # a living process holds it
    finally:
        os.close(handle)


@contextmanager
def _claimed(path: Path, make: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """A temporary file or folder beside ``path`` and its handle, locked as long as this process lives: who sweeps takes
    the lock for a sign of life. It is removed in the end, unless it has another name by then."""
    temporary, handle = Path(), -1
    while handle < 0 or not os.fstat(handle).st_nlink:  # swept away between making and locking
        if handle >= 0:
            os.close(handle)
        temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.tmp")
        handle = make(temporary)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield temporary, handle
    finally:
        _remove(temporary)
        os.close(handle)


def _make_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def _make_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one step; where the file system can't, in two, and a line says so."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        failed = library.renamex_np(*names, 2)  # RENAME_SWAP
    elif hasattr(library, "renameat2"):
        failed = library.renameat2(-100, names[0], -100, names[1], 2)  # AT_FDCWD, RENAME_EXCHANGE
    else:
        failed, _ = -1, ctypes.set_errno(errno.ENOSYS)
    if not failed:
        return
    code = ctypes.get_errno()
    if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    log.warning("%s: its file system swaps no names, so that for a moment there is nothing there", other.parent)
    aside = one.with_name(f"{one.name}.replaced")
    other.rename(aside)
    one.rename(other)
