"""Packages computed by Apple's own runtime, in a process beside this one."""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from converters.anatomy import Body
from converters.backend import Call
from converters.capture import dtype_name
from converters.errors import PackageError, failure
from converters.graph import FLOATS, Array

MODULE = "converters.coreai.worker"
READ_SECONDS = 300.0
"""Time to read a package in, of whatever size: one that was damaged may have no end."""
_ROOT = Path(__file__).parents[2]


class Worker:
    """The other process; it starts with the first question, and anew where a package ended it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, *question: Any, seconds: float | None = None) -> Any:
        """The answer to a question about a package; where there is none in so many seconds, its process is ended.

        Raises:
            PackageError: it can't be computed, in one line with what the runtime said.
        """
        with self.lock:
            process = self.process = self.process if self.process and self.process.poll() is None else self._started()
            assert process.stdin
            assert process.stdout
            late = None if seconds is None else threading.Timer(seconds, process.kill)
            if late:
                late.daemon = True
                late.start()
            try:
                pickle.dump((question[0], str(path), *question[1:]), process.stdin, pickle.HIGHEST_PROTOCOL)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                self.stop()
                raise PackageError(f"{path}: Core AI's runtime ended its process{self._last_words()}") from None
            finally:
                if late:
                    late.cancel()
        if isinstance(answer, tuple):
            raise failure(str(path), ValueError(answer[1]))
        return answer

    def stop(self) -> None:
        """End the process."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _started(self) -> subprocess.Popen[bytes]:
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
        paths = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            env=os.environ | {"PYTHONPATH": paths},
        )

    def _last_words(self) -> str:
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").splitlines()
        # What the compiler says comes before the exception that ends the process, which says nothing of the package.
        fatal = sorted((line for line in lines if "rror" in line), key=lambda line: "what():" not in line) or [
            "nothing more is told: a number out of range, or damage"
        ]
        return f": {fatal[-1].strip()[:200]}"


WORKER = Worker()
atexit.register(WORKER.stop)


@dataclass(frozen=True)
class Package:
    """A package on disk, as the runtime describes it."""

    path: Path
    inputs: Mapping[str, tuple[tuple[int, ...], str]]
    """Name → shape and dtype."""
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def operations(self) -> Mapping[str, int]:
        """How often each operation stands in it, counted when that is asked."""
        counts: Mapping[str, int] = WORKER.ask(self.path, "count", seconds=READ_SECONDS)
        return counts

    def close(self) -> None:
        """Let the runtime forget it."""
        WORKER.ask(self.path, "close")


def load(path: Path) -> Package:
    """Read a package.

    Raises:
        FileNotFoundError: there is none.
        PackageError: it is damaged, or of another version.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no package {path}")
    found = WORKER.ask(path, "open")
    return Package(path, found["inputs"], tuple(found["outputs"]), found["metadata"])


def anatomy(path: Path) -> list[Body]:
    """What a package is made of; :func:`load` tells what else is raised."""
    if not path.exists():
        raise FileNotFoundError(f"there is no package {path}")
    found: list[Body] = WORKER.ask(path, "read", seconds=READ_SECONDS)
    return found


def runner(package: Package) -> Call:
    """Compute a package for many inputs."""

    def call(inputs: Mapping[str, Any]) -> dict[str, Array]:
        made: dict[str, Array] = WORKER.ask(package.path, "call", _fitting(package, inputs))
        return made

    return call


def _fitting(package: Package, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The inputs in the package's own dtypes.

    Raises:
        PackageError: some are missing, unknown, of another shape or beyond their dtype: all of them.
    """
    faults, found = [], {}
    for name, (shape, dtype) in package.inputs.items():
        if name not in inputs:
            faults.append(f"input {name} {shape} {dtype} is missing")
            continue
        array = as_array(inputs[name])
        with np.errstate(invalid="ignore"):
            made = array.astype("bool" if dtype == "bool" else dtype)
        if array.shape != shape:
            faults.append(f"input {name} has shape {array.shape}; expected {shape}")
        elif array.dtype.kind in "iu" and made.dtype.kind in "iu" and (made != array).any():
            faults.append(f"input {name} has numbers from {array.min()} to {array.max()}; the package takes {dtype}")
        found[name] = made
    faults += [
        f"input {name} is unknown; it has {', '.join(package.inputs)}" for name in inputs if name not in package.inputs
    ]
    if faults:
        raise PackageError(f"{package.path}: {'; '.join(faults)}")
    return found


def as_array(array: Any) -> Array:
    """An MLX array, or anything like one, in NumPy; bfloat16 widened."""
    if isinstance(array, mx.array):
        return np.array(array.astype(mx.float32) if dtype_name(array.dtype) in FLOATS else array)
    return np.asarray(array)
