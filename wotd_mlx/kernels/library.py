"""A small C library, compiled once a user: loaded only if it is whole, and nobody else can have written it."""

from __future__ import annotations

import ctypes
import os
import stat
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/wotd-mlx``, or ``~/.cache/wotd-mlx``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wotd-mlx"


def load(name: str, source: str, symbols: Sequence[str]) -> tuple[ctypes.CDLL, str]:
    """Load C ``source`` globally, compiled if no good library of it is kept; and say where it is from.

    The file's name ends in the checksum of its content: the linker would crash on one that was cut off.

    Raises:
        OSError: others may write the folder, it can't be written at all, or there is no compiler.
        RuntimeError: this user has no home.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if not _this_users_alone(os.fstat(descriptor)):
            raise OSError(f"others may write in {folder}: make it this user's own, and `chmod go-w` it")
        # From here on by what was opened, whatever happens to the folders above it.
        opened = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        stem = f"{name}-{_checksum(source.encode())}-{os.uname().machine}"
        broken = {}
        for file in sorted(opened.glob(f"{stem}*.so")):
            try:
                return _load(file, symbols), str(folder / file.name)
            except OSError as error:
                broken[file] = error
        _clear(descriptor, opened, list(broken))
        file = _compile(source, opened, stem)
        rebuilt = "".join(f" (built anew: {file.name} {error})" for file, error in broken.items())
        return _load(file, symbols), f"{folder / file.name}{rebuilt}"
    finally:
        os.close(descriptor)


def _this_users_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _load(file: Path, symbols: Sequence[str]) -> ctypes.CDLL:
    """Load a library that may be anything; what is wrong with it is an OSError."""
    if not file.stem.endswith(f"-{_checksum(_content(file))}"):
        raise OSError("is not what was built")
    library = ctypes.CDLL(str(file), mode=ctypes.RTLD_LOCAL)
    if missing := [symbol for symbol in symbols if not hasattr(library, symbol)]:
        raise OSError(f"lacks {', '.join(missing)}")
    return ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)


def _content(file: Path) -> bytes:
    # A pipe by that name would otherwise be waited for.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or not _this_users_alone(found):
            raise OSError("is not a file that this user alone may write")
        with open(descriptor, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(descriptor)


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _clear(descriptor: int, folder: Path, broken: Sequence[Path]) -> None:
    """Remove broken libraries and what killed compilers left, unless somebody builds now; hold off who would."""
    import fcntl
    import shutil

    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in folder.glob("building-*"):
            shutil.rmtree(left, ignore_errors=True)
        for file in broken:
            with suppress(OSError):
                file.unlink()
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)


def _compile(source: str, folder: Path, stem: str) -> Path:
    """Build C ``source`` into ``folder``; what goes wrong, no compiler included, is an OSError."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as place:
        built = Path(place) / "library.so"
        command = ["g++", "-x", "c", "-O1", "-shared", "-fPIC", "-", "-o", str(built)]
        try:
            subprocess.run(command, input=source.encode(), capture_output=True, check=True, timeout=60)
        except subprocess.SubprocessError as error:
            raise OSError(f"g++ failed: {error}") from error
        built.chmod(0o600)
        return built.rename(folder / f"{stem}-{_checksum(built.read_bytes())}.so")
