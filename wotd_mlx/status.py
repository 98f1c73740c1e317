"""What this machine will compute with, for ``wotd-mlx status``."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import mlx.core as mx

from wotd_mlx import backend, kernels
from wotd_mlx.embed.models import DEFAULT_MODEL, find_model, resolve
from wotd_mlx.kernels import choice, threads
from wotd_mlx.kernels.compile import jit_available
from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary import load_dictionary


def status() -> dict[str, Any]:
    """Versions, device, BLAS, threads, memory limit, and where the default embedding's weights are (no download).

    ``path`` is the one that code takes, as :mod:`wotd_mlx.kernels.choice` tells; ``kernels`` tells whether MLX was made
    fast on this CPU, or why not; ``openblas`` and ``threads_library`` by what; ``dictionary`` what definitions and
    pronunciations are from, by their licences' lines.
    """
    try:
        weights: str | None = str(resolve(find_model(DEFAULT_MODEL), download=False))
    except WotdError:
        weights = None
    try:
        dictionary = [source.attribution for source in load_dictionary().sources]
    except WotdError as error:
        dictionary = [str(error)]
    enabled = kernels.enable()
    return {
        "wotd_mlx": _version("wotd-mlx"),
        "mlx": _version("mlx"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": backend.device_name(),
        "kind": "cpu" if backend.on_cpu() else "metal" if mx.metal.is_available() else "cuda",
        "path": choice.path(),
        "kernels": enabled.state,
        "blas": enabled.blas,
        "blas_threads": threads.blas_threads(),
        "openblas": enabled.openblas,
        "threads_library": enabled.threads,
        "cores": os.cpu_count(),
        "jit": jit_available(),
        "memory_limit": backend.memory_limit(),
        "embedding": DEFAULT_MODEL,
        "embedding_weights": weights,
        "dictionary": dictionary,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
