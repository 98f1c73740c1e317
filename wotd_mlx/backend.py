"""Where MLX computes: the device, the memory limit, and on Linux's CPU build a fast BLAS before MLX loads.

MLX's CPU wheel for Linux bundles the reference BLAS, in which a 1024³ matmul takes 350 ms; faiss-cpu's wheel
carries OpenBLAS, in which it takes 10. Whichever library is in the process's global namespace first answers MLX's
calls, so ``wotd_mlx/__init__.py`` calls :func:`preload_blas` before anything can import MLX.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    import mlx.core as mx

GIB = 1 << 30
DEFAULT_MEMORY_LIMIT = 8 * GIB
DEVICES = ("auto", "metal", "cuda", "cpu")

# The order of loading: each needs the ones before it.
_BLAS_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")

# OpenBLAS asks OpenMP, anew in each thread, how many threads to use, and MLX's threads aren't ours to tell. Loaded
# before libgomp, this puts one count over all of them while it isn't 0; nothing else in that library is replaced.
_THREAD_COUNT_C = """
int wotd_threads;
int (*wotd_openmp)(void);
int omp_get_max_threads(void) { return wotd_threads ? wotd_threads : wotd_openmp ? wotd_openmp() : 1; }
"""

# How long an idle BLAS thread spins before it sleeps, one or two milliseconds: enough to bridge two matmuls of one
# text. With GNU's own value, ten times that, a text takes 190 ms instead of 30 when another program wants the cores.
_SPIN = {"GOMP_SPINCOUNT": "30000"}

# glibc's malloc otherwise returns each large array to the system at once, and pays for its pages again: 10-15 % of
# a batch. M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, and M_ARENA_MAX, so that MLX's threads share what is free.
_MALLOC = ((-3, 32 << 20), (-1, 512 << 20), (-2, 64 << 20), (-8, 1))


@cache
def preload_blas() -> str:
    """Load OpenBLAS globally where MLX would fall back to the reference BLAS; return a line that says what was done.

    Does nothing on macOS (Accelerate), or where MLX was imported already: its calls are bound by then.
    """
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"
    if "mlx.core" in sys.modules:
        return "MLX's own (mlx was imported before wotd_mlx; import wotd_mlx first for OpenBLAS)"
    files = _blas_files()
    if not files:
        return "MLX's own (no OpenBLAS found beside faiss; `pip install faiss-cpu` for a 30 times faster one)"
    override = _thread_count_library()
    with _environment(_SPIN):
        for file in files:
            library = ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
            if override and file.name.startswith("libgomp"):
                openmp = ctypes.cast(library.omp_get_max_threads, ctypes.c_void_p)
                ctypes.c_void_p.in_dll(override, "wotd_openmp").value = openmp.value
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in _MALLOC:
            libc.mallopt(parameter, value)
    shared = "" if override else "; element-wise work on one core, for want of g++ or a cache folder"
    return f"OpenBLAS ({files[-1].name}){shared}"


def _blas_files() -> list[Path]:
    """OpenBLAS and what it needs, in the order of loading; empty where faiss's wheel doesn't carry them."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parents[1] / "faiss_cpu.libs"
    files = [file for name in _BLAS_LIBRARIES for file in sorted(folder.glob(f"{name}*.so*"))[:1]]
    return files if files and files[-1].name.startswith(_BLAS_LIBRARIES[-1]) else []


@contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Variables that a library reads while it loads; what the user set stays, and nothing is left behind."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _thread_count_library() -> ctypes.CDLL | None:
    """Load :data:`_THREAD_COUNT_C`, compiled once a user; None where there is no compiler, as for MLX's own JIT."""
    name = f"threads-{zlib.crc32(_THREAD_COUNT_C.encode()):08x}-{os.uname().machine}.so"
    try:
        library = cache_folder() / name
        if not library.exists():
            _compile(_THREAD_COUNT_C, library)
        return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except (OSError, RuntimeError):  # no compiler, no place to keep it, or no home
        return None


def _compile(source: str, library: Path) -> None:
    """Build C ``source`` into ``library``; what goes wrong, no compiler included, is an OSError."""
    import subprocess
    import tempfile

    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / library.name
        command = ["g++", "-x", "c", "-O1", "-shared", "-fPIC", "-", "-o", str(built)]
        try:
            subprocess.run(command, input=source.encode(), capture_output=True, check=True, timeout=60)
        except subprocess.SubprocessError as error:
            raise OSError(f"g++ failed: {error}") from error
        built.replace(library)


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/wotd-mlx``, or ``~/.cache/wotd-mlx``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wotd-mlx"


def _override() -> ctypes.c_int | None:
    """The count that goes over OpenMP's, 0 for none; None where it couldn't be loaded."""
    if sys.platform != "linux":
        return None
    try:
        return ctypes.c_int.in_dll(ctypes.CDLL(None), "wotd_threads")
    except ValueError:
        return None


def blas_threads() -> int | None:
    """How many threads a matmul may use now; None where the BLAS isn't OpenBLAS."""
    if sys.platform != "linux" or not hasattr(library := ctypes.CDLL(None), "openblas_get_num_threads"):
        return None
    override = _override()
    return int((override and override.value) or library.omp_get_max_threads())


class _OneThread:
    """How many are inside :func:`one_blas_thread`; the last to leave lifts the override."""

    lock = threading.Lock()
    users = 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Every matmul uses one thread inside: for work that several MLX streams share, which then has a core each."""
    override = _override()
    with _OneThread.lock:
        _OneThread.users += 1
        if override is not None:
            override.value = 1
    try:
        yield
    finally:
        with _OneThread.lock:
            _OneThread.users -= 1
            if override is not None and _OneThread.users == 0:
                override.value = 0


def on_cpu() -> bool:
    """Whether MLX's default device is the CPU."""
    import mlx.core as mx

    return bool(mx.default_device() == mx.Device(mx.cpu))


def lanes() -> int:
    """How many MLX streams may share a batch: one a core where :func:`one_blas_thread` works, or else 1."""
    if not on_cpu() or _override() is None:
        return 1
    return max(1, int(ctypes.CDLL(None).openblas_get_num_threads()))


def jit_available() -> bool:
    """Whether ``mx.compile`` fuses here: always on a GPU; on a CPU MLX calls the system's C++ compiler."""
    return not on_cpu() or sys.platform == "darwin" or _has_compiler()


@cache
def _has_compiler() -> bool:
    return shutil.which("g++") is not None


def select_device(name: str = "auto") -> mx.Device:
    """Make ``name`` MLX's default device; ``auto`` takes a GPU where there is one.

    Raises:
        WotdError: another name, or a device that this machine or this build of MLX doesn't have.
    """
    import mlx.core as mx

    if name not in DEVICES:
        raise WotdError(f"unknown device {name!r}; expected one of {', '.join(DEVICES)}")
    have = {"metal": mx.metal.is_available(), "cuda": _cuda_available(), "cpu": True}
    chosen = next(d for d in ("metal", "cuda", "cpu") if have[d]) if name == "auto" else name
    if not have[chosen]:
        present = ", ".join(d for d, there in have.items() if there)
        raise WotdError(f"device {name!r} is not here; this machine and this MLX have: {present}")
    device = mx.Device(mx.cpu if chosen == "cpu" else mx.gpu)
    mx.set_default_device(device)
    return device


def _cuda_available() -> bool:
    import mlx.core as mx

    return bool(hasattr(mx, "cuda") and mx.cuda.is_available())


class _Limit:
    bytes = DEFAULT_MEMORY_LIMIT


def memory_limit() -> int:
    """The limit in force, in bytes."""
    return _Limit.bytes


def set_memory_limit(limit: int = DEFAULT_MEMORY_LIMIT) -> None:
    """Tell MLX to stay under ``limit`` bytes, and to keep at most a thirty-second of it for reuse.

    MLX takes it as a guideline; :func:`check_memory` is what stops a run.
    """
    import mlx.core as mx

    if limit <= 0:
        raise WotdError(f"the memory limit is {limit} bytes; expected a number above zero")
    _Limit.bytes = limit
    mx.set_memory_limit(limit)
    mx.set_cache_limit(limit // 32)


def peak_bytes() -> int:
    """The most memory this process has held so far: what the system counted, or MLX where that is more."""
    import mlx.core as mx

    return max(_peak_resident(), mx.get_peak_memory())


def resident_bytes(field: str = "VmRSS") -> int | None:
    """A figure of Linux's own account of this process, such as what is resident now; None on other systems."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _peak_resident() -> int:
    # Linux's ru_maxrss begins at what the parent had; VmHWM is this program's own.
    if (peak := resident_bytes("VmHWM")) is not None:
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def check_memory(limit: int | None = None) -> int:
    """The peak so far, in bytes.

    Raises:
        WotdError: it passed ``limit`` (by default the one set by :func:`set_memory_limit`).
    """
    limit = _Limit.bytes if limit is None else limit
    peak = peak_bytes()
    if peak > limit:
        raise WotdError(
            f"peak memory {peak / GIB:.2f} GB over the limit {limit / GIB:.2f} GB; "
            "lower the batch size, or raise --memory-limit"
        )
    return peak


def device_name() -> str:
    """The default device in words, such as ``Apple M3 Pro``."""
    import mlx.core as mx

    found = mx.device_info(mx.default_device()).get("device_name")
    return str(found or platform.processor() or platform.machine())
