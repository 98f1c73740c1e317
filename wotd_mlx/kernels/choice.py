"""Which path code takes where a CPU and a GPU want different ones: asked here, and nowhere else.

The GPU's path is MLX as it is: its own functions, half precision, quantised weights kept quantised, lengths in
multiples of 8. An export captures it too. The CPU's path is what the other modules of this package are for. It is the
default device that decides, unless :data:`~wotd_mlx.kernels.VARIABLE` is ``gpu``: then all code takes the GPU's path,
on a CPU too, so that tests run it on any machine.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, ParamSpec, TypeVar

from wotd_mlx.backend import on_cpu
from wotd_mlx.kernels import VARIABLE
from wotd_mlx.kernels.threads import override

Path = Literal["cpu", "gpu"]
P = ParamSpec("P")
R = TypeVar("R")

_taken: ContextVar[Path | None] = ContextVar("taken", default=None)


def path() -> Path:
    """The path that code takes now."""
    if taken := _taken.get():
        return taken
    return "cpu" if on_cpu() and os.environ.get(VARIABLE) != "gpu" else "gpu"


def cpu_path() -> bool:
    """Whether code takes the CPU's path now."""
    return path() == "cpu"


@contextmanager
def taking(path: Path) -> Iterator[None]:
    """Inside, this thread's code takes ``path``, whatever the device."""
    token = _taken.set(path)
    try:
        yield
    finally:
        _taken.reset(token)


def either(plain: Callable[P, R], fast: Callable[P, R]) -> Callable[P, R]:
    """One operation in two forms: MLX's own, and the one of the CPU's path; each call asks which."""

    def operation(*args: P.args, **kwargs: P.kwargs) -> R:
        return (fast if cpu_path() else plain)(*args, **kwargs)

    return operation


def lanes() -> int:
    """How many MLX streams may share a batch: one a core where ``kernels.threads.one_blas_thread`` works, or else 1."""
    if not cpu_path() or override() is None:
        return 1
    return max(1, int(ctypes.CDLL(None).openblas_get_num_threads()))
