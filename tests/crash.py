"""A command that dies at the Nth change it makes below a folder, as by a power cut: ``kill_at`` runs one, ``events``
tells where it may die.

Changes are what a reader of the folder could see: files opened for writing, renamed or removed, folders made or
removed. What is written into an open file is no change of its own: whole files appear under their names by a rename.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MARK = "changes: "
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_WITH_FOLDER = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2}
"""Events whose path may be relative to an open folder: where among the arguments that is."""
_SWAPS = ("renameat2", "renamex_np")
"""Called by ctypes, where the first call looks the name up."""


def events(root: Path, argv: Sequence[object]) -> list[str]:
    """Run ``wotd-mlx`` to its end; the changes it made below ``root``, in order."""
    done = _run(0, root, argv)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(_MARK), done.stdout
    found: list[str] = json.loads(last.removeprefix(_MARK))
    return found


def kill_at(n: int, root: Path, argv: Sequence[object]) -> None:
    """Run ``wotd-mlx`` until just before the ``n``-th change below ``root``, counted from 1, and kill it there."""
    done = _run(n, root, argv)
    assert done.returncode == -signal.SIGKILL, f"ended before change {n}: {done.stderr}"


def _run(n: int, root: Path, argv: Sequence[object]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash", str(n), str(root.resolve()), *map(str, argv)]
    return subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)


def _dying(n: int, root: Path, seen: list[str]) -> Any:
    """An audit hook that notes the changes, and kills this process before the ``n``-th."""

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if change := _change(event, given, root):
            seen.append(change)
            if len(seen) == n:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _change(event: str, given: tuple[Any, ...], root: Path) -> str:
    """What an audit event is about to change below ``root``; empty for nothing."""
    if event == "ctypes.dlsym" and given[1] in _SWAPS:
        return "swap"
    if (event == "open" and not _writes(*given[1:3])) or event not in ("open", *_WITH_FOLDER):
        return ""
    if isinstance(given[0], int):
        return ""
    path = Path(os.fsdecode(given[0]))
    if event != "open" and (folder := given[_WITH_FOLDER[event]]) is not None and folder >= 0:
        path = _path_of(folder) / path
    path = path.parent.resolve() / path.name
    # What will fail changes nothing.
    fails = event != "open" and os.path.lexists(path) == (event == "os.mkdir")
    return f"{event.removeprefix('os.')} {path.relative_to(root)}" if path.is_relative_to(root) and not fails else ""


def _writes(mode: str | None, flags: int | None) -> bool:
    return bool({*(mode or "")} & {*"wax+"} or (flags or 0) & _WRITING)


def _path_of(folder: int) -> Path:
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(f"/proc/self/fd/{folder}").readlink()


if __name__ == "__main__":
    changes: list[str] = []
    sys.addaudithook(_dying(int(sys.argv[1]), Path(sys.argv[2]), changes))
    from wotd_mlx.cli import main

    main(sys.argv[3:], standalone_mode=False)
    print(_MARK + json.dumps(changes))
