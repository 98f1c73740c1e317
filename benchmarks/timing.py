"""How benchmarks time: alternating with the peer, medians over many calls, the machine's name beside the figures."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "wotd-mlx",
    "mlx",
    "numpy",
    "coremltools",
    "faiss-cpu",
    "torch",
    "sentence-transformers",
    "vector-quantize-pytorch",
)


def alternate(calls: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 3) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a slow minute of the machine hits all alike."""
    for call in calls.values():
        for _ in range(warmup):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def machine() -> dict[str, Any]:
    """What ran: processor, cores, system, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_results(name: str, figures: Mapping[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json``: the figures, the machine, the day."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    content = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), **figures}
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {file}")
    return file
