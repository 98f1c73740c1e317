"""How many threads a matmul uses: one count over OpenMP's own, which is otherwise asked anew in each thread."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wotd_mlx.kernels import library

# OpenBLAS asks OpenMP, anew in each thread, how many threads to use, and MLX's threads aren't ours to tell. Loaded
# before libgomp, this puts one count over all of them while it isn't 0; nothing else in that library is replaced.
_SOURCE = """
int wotd_threads;
int (*wotd_openmp)(void);
int omp_get_max_threads(void) { return wotd_threads ? wotd_threads : wotd_openmp ? wotd_openmp() : 1; }
"""
_SYMBOLS = ("wotd_threads", "wotd_openmp", "omp_get_max_threads")


def load() -> tuple[ctypes.CDLL | None, str]:
    """The library that holds the count, and where it is from; None, and why, where it can't be had."""
    try:
        return library.load("threads", _SOURCE, _SYMBOLS)
    except (OSError, RuntimeError) as error:  # no compiler, no place to keep it, or no home
        return None, f"none: {error}; element-wise work uses one core"


def put_over(count: ctypes.CDLL, openmp: ctypes.CDLL) -> None:
    """Have OpenMP's own count answer while ours is 0."""
    own = ctypes.cast(openmp.omp_get_max_threads, ctypes.c_void_p)
    ctypes.c_void_p.in_dll(count, "wotd_openmp").value = own.value


def override() -> ctypes.c_int | None:
    """The count that goes over OpenMP's, 0 for none; None where it wasn't loaded."""
    if sys.platform != "linux":
        return None
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(None), "wotd_threads")
    except ValueError:
        return None


def blas_threads() -> int | None:
    """How many threads a matmul may use now; None where the BLAS isn't OpenBLAS."""
    if sys.platform != "linux" or not hasattr(process := ctypes.CDLL(None), "openblas_get_num_threads"):
        return None
    count = override()
    return int((count and count.value) or process.omp_get_max_threads())


class _OneThread:
    """How many are inside :func:`one_blas_thread`; the last to leave lifts the override."""

    lock = threading.Lock()
    users = 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Every matmul uses one thread inside: for work that several MLX streams share, which then has a core each."""
    count = override()
    with _OneThread.lock:
        _OneThread.users += 1
        if count is not None:
            count.value = 1
    try:
        yield
    finally:
        with _OneThread.lock:
            _OneThread.users -= 1
            if count is not None and _OneThread.users == 0:
                count.value = 0
