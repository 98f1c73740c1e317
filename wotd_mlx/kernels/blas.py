"""OpenBLAS from faiss-cpu's wheel, loaded so that MLX's calls find it, and malloc set up for large arrays."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wotd_mlx.kernels import Kernels, threads

# The order of loading: each needs the ones before it.
_LIBRARIES = ("libquadmath", "libgfortran", "libgomp", "libopenblas")

# How long an idle BLAS thread spins before it sleeps, one or two milliseconds: enough to bridge two matmuls of one
# text. With GNU's own value, ten times that, a text takes 190 ms instead of 30 when another program wants the cores.
_SPIN = {"GOMP_SPINCOUNT": "30000"}

_CPUINFO = Path("/proc/cpuinfo")
# By their flags, the best first: OpenBLAS goes by model numbers instead, and on a processor newer than itself takes
# the loops of 2004, a fifth as fast.
_CORES = (("SkylakeX", {"avx512f", "avx512dq", "avx512bw", "avx512vl"}), ("Haswell", {"avx2", "fma"}))

# glibc's malloc otherwise returns each large array to the system at once, and pays for its pages again: 10-15 % of
# a batch. M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, and M_ARENA_MAX, so that MLX's threads share what is free.
_MALLOC = ((-3, 32 << 20), (-1, 512 << 20), (-2, 64 << 20), (-8, 1))


def load() -> Kernels:
    """Load what there is: :func:`wotd_mlx.kernels.enable` says when that may be."""
    files = _files()
    if not files:
        return Kernels(
            "off: no OpenBLAS found beside faiss, so matmuls on the CPU take about 30 times as long; "
            "`pip install faiss-cpu` brings it"
        )
    count, told = threads.load()
    try:
        with _environment(_SPIN | _core()):
            for file in files:
                library = ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
                if count and file.name.startswith("libgomp"):
                    threads.put_over(count, library)
    except OSError as error:
        return Kernels(f"off: OpenBLAS can't be loaded, so matmuls on the CPU take about 30 times as long: {error}")
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in _MALLOC:
            libc.mallopt(parameter, value)
    return Kernels("on", str(files[-1]), told)


def _files() -> list[Path]:
    """OpenBLAS and what it needs, in the order of loading; empty where faiss's wheel doesn't carry them."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parents[1] / "faiss_cpu.libs"
    files = [file for name in _LIBRARIES for file in sorted(folder.glob(f"{name}*.so*"))[:1]]
    return files if files and files[-1].name.startswith(_LIBRARIES[-1]) else []


def _core() -> dict[str, str]:
    """OpenBLAS's variable for the loops that this processor can run; nothing where Linux doesn't tell."""
    lines = _CPUINFO.read_text(errors="replace").splitlines() if _CPUINFO.exists() else []
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    fits = [name for name, needed in _CORES if needed <= flags]
    return {"OPENBLAS_CORETYPE": fits[0]} if fits else {}


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
