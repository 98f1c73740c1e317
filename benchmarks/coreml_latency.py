"""How long a Core ML package takes to load and to predict, on each kind of compute unit. macOS only.

    python -m benchmarks.coreml_latency build/bundle build/encoder/VectorEncoder.mlpackage [--units CPU_ONLY CPU_AND_NE]

Each package and unit has a process of its own, so that its memory and its first load are nobody else's. A cold load
compiles the package and specialises it for the unit; where the system remembers that work from an earlier run, it is
shorter. A warm load reads what was compiled. A bundle (a folder with manifest.json) is fed its own fixtures in turn, a
bare package zeros. Elsewhere than on macOS it says so and exits with 2.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

from benchmarks.timing import RESULTS, machine

UNITS = ("CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE", "ALL")
WARMUP = 20
OTHER_NAMES = {"token_ids": "tokens"}
"""Inputs that fixtures.json calls otherwise."""

Inputs = Mapping[str, Any]


class Model(Protocol):
    """What is measured: a Core ML model, or a test's stand-in."""

    def predict(self, inputs: Inputs) -> Mapping[str, Any]:
        """The outputs, by name."""


def order_statistics(seconds: Sequence[float]) -> dict[str, float]:
    """min, p50 and p95 in milliseconds; a percentile is the smallest value that so many do not exceed."""
    ranked = sorted(seconds)
    at = {"min_ms": 0, "p50_ms": math.ceil(0.5 * len(ranked)) - 1, "p95_ms": math.ceil(0.95 * len(ranked)) - 1}
    return {name: ranked[place] * 1e3 for name, place in at.items()}


def measure(
    cold: Callable[[], Model],
    warm: Callable[[Model], Model],
    examples: Sequence[Inputs],
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Load times, the first prediction, and the order statistics of ``runs`` more on ``examples`` in turn."""

    def timed(call: Callable[[], Any]) -> tuple[float, Any]:
        started = clock()
        made = call()
        return clock() - started, made

    cold_s, first = timed(cold)
    warm_s, model = timed(lambda: warm(first))
    first_s, _ = timed(lambda: model.predict(examples[0]))
    for example in islice(cycle(examples), WARMUP):
        model.predict(example)
    seconds = [timed(lambda e=example: model.predict(e))[0] for example in islice(cycle(examples), runs)]
    loads = {"load_cold_ms": cold_s * 1e3, "load_warm_ms": warm_s * 1e3, "first_predict_ms": first_s * 1e3}
    return {**loads, "runs": runs, **order_statistics(seconds)}


def find_package(path: Path) -> Path:
    """The package itself, or the one in a bundle."""
    if path.suffix == ".mlpackage":
        found = [path] if path.is_dir() else []
    else:
        found = sorted(path.glob("*.mlpackage")) if (path / "manifest.json").is_file() else []
    if len(found) != 1:
        raise SystemExit(f"error: {path} is neither a .mlpackage nor a folder with manifest.json and one .mlpackage")
    return found[0]


def examples_for(path: Path) -> list[Inputs]:
    """A bundle's fixtures as inputs of its package; zeros for a bare package."""
    import numpy as np

    from converters.coreml.executor import load_package

    declared = load_package(find_package(path)).inputs
    shapes = {v.name: tuple(d or 1 for d in v.shape or ()) for v in declared}
    dtypes = {v.name: np.dtype("int32" if "int" in v.dtype else "float32") for v in declared}
    fixtures = path / "fixtures.json"
    if not fixtures.is_file():
        return [{name: np.zeros(shape, dtypes[name]) for name, shape in shapes.items()}]
    return [
        {n: np.array(case[n if n in case else OTHER_NAMES[n]], dtypes[n]).reshape(s) for n, s in shapes.items()}
        for case in json.loads(fixtures.read_text(encoding="utf-8"))["cases"]
    ]


def shares(devices: Sequence[str]) -> dict[str, float]:
    """Device → its share of the operations."""
    return {device: count / len(devices) for device, count in sorted(Counter(devices).items())}


def on_this_mac(path: Path, units: str, runs: int) -> dict[str, Any]:
    """One package on one kind of unit; runs in a process of its own."""
    import coremltools as ct

    from converters.coreml.neural_engine import preferred_devices

    package, allowed = find_package(path), ct.ComputeUnit[units]
    found = measure(
        lambda: ct.models.MLModel(str(package), compute_units=allowed),
        lambda model: ct.models.CompiledMLModel(model.get_compiled_model_path(), compute_units=allowed),
        examples_for(path),
        runs,
    )
    # macOS counts it in bytes; and it is read before the plan, which loads the model again.
    found["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**found, "operations": shares([device for _, _, device in preferred_devices(package, units)])}


def apple_machine() -> dict[str, Any]:
    """The chip and model as the system names them, beside what every benchmark records."""

    def asked(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    names = {"processor": "machdep.cpu.brand_string", "model": "hw.model", "memory_bytes": "hw.memsize"}
    found = {key: asked("sysctl", "-n", name) for key, name in names.items()}
    return {**machine(), **found, "macos": asked("sw_vers", "-productVersion")}


def run(
    paths: Sequence[Path],
    units: Sequence[str],
    out: Path,
    described: Mapping[str, Any],
    one: Callable[[Path, str], dict[str, Any]],
) -> dict[str, Any]:
    """Measure every package on every unit; ``out`` is written anew after each, so that a crash loses one figure."""
    content: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "machine": dict(described), "packages": {}}
    out.parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        rows = content["packages"].setdefault(str(path), {})
        for unit in units:
            rows[unit] = one(path, unit)
            out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            print(f"{path} {unit}: " + ", ".join(f"{k} {v:.3g}" for k, v in rows[unit].items() if k.endswith("_ms")))
    return content


def isolated(path: Path, units: str, runs: int) -> dict[str, Any]:
    """:func:`on_this_mac` in a fresh process; what fails there is recorded in its place."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(on_this_mac, path, units, runs).result()
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="BUNDLE_OR_PACKAGE", help="a .mlpackage, or an export")
    parser.add_argument("--units", nargs="+", choices=UNITS, default=UNITS, help="compute units that Core ML may use")
    parser.add_argument("--runs", type=int, default=200, help="predictions that are timed (default: 200)")
    parser.add_argument("--out", type=Path, default=RESULTS / "coreml_latency.json", help="the JSON file to write")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}; expected 1 or more")
    if sys.platform != "darwin":
        print("error: Core ML runs on macOS only; benchmarks.paper_bound gives bounds anywhere", file=sys.stderr)
        raise SystemExit(2)
    for path in arguments.paths:
        find_package(path)
    one = partial(isolated, runs=arguments.runs)
    content = run(arguments.paths, arguments.units, arguments.out, apple_machine(), one)
    print(f"wrote {arguments.out}")
    rows = ((path, unit, row) for path, units in content["packages"].items() for unit, row in units.items())
    failed = [f"{path} {unit}: {row['error']}" for path, unit, row in rows if "error" in row]
    if failed:
        raise SystemExit("error: " + "; ".join(failed))


if __name__ == "__main__":
    main()
