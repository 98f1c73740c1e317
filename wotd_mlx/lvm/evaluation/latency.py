"""How long a model takes for a context, for one more embedding, for many contexts at once; and how much memory."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.backend import device_name
from wotd_mlx.codes.metrics import unit
from wotd_mlx.kernels.threads import blas_threads
from wotd_mlx.lvm.parts.residual import NextVector

BATCH = 64
"""Contexts read at once where throughput is measured."""
_WARM_UP = 3
_RUNS = 100
_MIN_RUNS = 5


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "device": device_name(),
        "platform": platform.platform(terse=True),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "threads": blas_threads(),
        "mlx": version("mlx"),
    }


def benchmark(model: NextVector, dims: int, context: int, seconds: float = 2.0) -> dict[str, Any]:
    """Times and memory of reading ``context`` embeddings of ``dims`` numbers.

    Args:
        seconds: about how long each of the three timings may take; five runs are done in any case.

    Returns:
        ``latency_ms`` of one whole context, ``step_ms`` of one more embedding after it (medians, p95 beside the first),
        ``throughput_per_s`` in contexts, 64 at once, and ``peak_bytes``: the most that MLX held for one context, the
        weights included.
    """
    one = _contexts(1, context, dims)
    mx.clear_cache()
    mx.reset_peak_memory()
    latency = _timed(lambda: model(one)[0], seconds)
    peak = mx.get_peak_memory()
    _, state = model(one)
    mx.eval(state)
    # The state after it is part of a step: the next one needs it.
    step = _timed(lambda: model(one[:, -1:], state), seconds)
    # Not made before the peak was read, of which it is no part.
    many = _contexts(BATCH, context, dims)
    batch = _timed(lambda: model(many)[0], seconds)
    return {
        "latency_ms": {"p50": _milliseconds(latency, 50), "p95": _milliseconds(latency, 95)},
        "step_ms": _milliseconds(step, 50),
        "throughput_per_s": round(BATCH / float(np.median(batch)), 3),
        "peak_bytes": peak,
    }


def _contexts(rows: int, context: int, dims: int) -> mx.array:
    draws = np.random.default_rng(0).standard_normal((rows * context, dims)).astype(np.float32)
    x = mx.array(unit(draws).reshape(rows, context, dims))
    mx.eval(x)
    return x


def _timed(call: Callable[[], Any], seconds: float) -> NDArray[np.float64]:
    """Seconds of each run after the warm-up."""
    for _ in range(_WARM_UP):
        mx.eval(call())
    times: list[float] = []
    while len(times) < _MIN_RUNS or (len(times) < _RUNS and sum(times) < seconds):
        started = time.perf_counter()
        mx.eval(call())
        times.append(time.perf_counter() - started)
    return np.array(times)


def _milliseconds(times: NDArray[np.float64], percentile: float) -> float:
    return round(1e3 * float(np.percentile(times, percentile)), 4)
