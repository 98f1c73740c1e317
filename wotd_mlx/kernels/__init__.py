"""What is there only because MLX's CPU build is slow: a BLAS, malloc's settings, threads, vector loops for functions.

That build bundles the reference BLAS, in which a 1024³ matmul takes 350 ms; faiss-cpu's wheel carries OpenBLAS, in
which it takes 10. Whichever library is in the process's global namespace when MLX loads answers MLX's calls, so
``wotd_mlx/__init__.py`` has :func:`enable` called just before. Nothing happens when this package is imported.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from typing import NamedTuple

VARIABLE = "WOTD_MLX_KERNELS"
"""Set to 0, no library is loaded and malloc left alone; set to gpu, code takes the GPU's path on a CPU too, as
:mod:`wotd_mlx.kernels.choice` tells, so that tests can run it."""


class Kernels(NamedTuple):
    """What :func:`enable` did, in words for ``wotd-mlx status``."""

    state: str
    """``on``, or ``off: `` and why, what that means and what to do."""
    openblas: str | None = None
    """The library that answers MLX's matmuls."""
    threads: str | None = None
    """The library by which MLX's streams share the cores, or ``none: `` and why."""

    @property
    def blas(self) -> str:
        """Who answers MLX's matmuls."""
        if self.openblas:
            return f"OpenBLAS ({os.path.basename(self.openblas)})"  # noqa: PTH119  pathlib is not loaded otherwise
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"


_lock = threading.Lock()


def enable() -> Kernels:
    """Load OpenBLAS globally and set malloc up for large arrays, once; say what was done, or why not.

    A change of the whole process, and for good: MLX's calls are bound when it loads. Does nothing outside Linux,
    where :data:`VARIABLE` is 0, or where MLX was loaded already. Never fails: MLX works without.
    """
    with _lock:
        return _enable()


@cache
def _enable() -> Kernels:
    if sys.platform != "linux":
        return Kernels("off: not needed here, MLX brings its own")
    if os.environ.get(VARIABLE) == "0":
        return Kernels(f"off: {VARIABLE} is 0; matmuls on the CPU take about 30 times as long")
    if "mlx.core" in sys.modules:
        return Kernels(
            "off: mlx was loaded before wotd_mlx was used, and calls its own BLAS: matmuls on the CPU take about 30 "
            "times as long; import a name from wotd_mlx, or converters, before mlx"
        )
    from wotd_mlx.kernels.blas import load

    return load()
