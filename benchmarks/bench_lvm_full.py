"""Each predictor at the size of its paper: built, counted, read with and trained for one step, in a process of its own.

Run with ``python -m benchmarks.bench_lvm_full`` for all thirteen, or with names for some; it writes
``results/lvm_full.json``, keeping what it has of others. Windows are of 5 vectors, one at a time; the trainer is what
``wotd-mlx lvm train --preset paper`` takes under a limit of 8 GB, so that lcm goes block by block.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS, write_results
from wotd_mlx.backend import DEFAULT_MEMORY_LIMIT, GIB, peak_bytes
from wotd_mlx.lvm import NAMES, architecture

BATCH, CONTEXT = 1, 5
ARTICLES, LENGTH = 8, CONTEXT + 1
STEPS, FORWARDS = 2, 3


def seconds(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each of so many calls."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def measure(name: str) -> dict[str, Any]:
    """Parameters, seconds and bytes of one model; to be called in a fresh process."""
    import mlx.core as mx

    from wotd_mlx.config.lvm import RECIPES
    from wotd_mlx.lvm import preset
    from wotd_mlx.lvm.data.sentences import Sentences
    from wotd_mlx.lvm.training.train import settings_for, trainer_for
    from wotd_mlx.training.layerwise import Layerwise
    from wotd_mlx.training.trainer import Trainer

    count, dims = ARTICLES * LENGTH, preset(name, "paper").dims
    vectors = np.random.default_rng(0).standard_normal((count, dims)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    articles = tuple(map(str, range(ARTICLES)))
    sentences = Sentences(tuple(map(str, range(count))), np.arange(0, count + 1, LENGTH), articles, ("",) * ARTICLES)
    recipe = replace(RECIPES["paper"], batch=BATCH, context=CONTEXT)
    settings = settings_for(name, "paper", recipe, sentences, vectors, "random", Path("random"))
    made: list[Trainer] = []
    [built] = seconds(lambda: made.append(trainer_for(settings, sentences, vectors, DEFAULT_MEMORY_LIMIT)), 1)
    [trainer] = made
    peaks = {"peak_bytes_build": mx.get_peak_memory(), "resident_bytes_build": peak_bytes()}

    model, x = trainer.task.model.eval(), mx.array(vectors[: BATCH * CONTEXT]).reshape(BATCH, CONTEXT, dims)
    mx.reset_peak_memory()
    with trainer.stepper.showing_kept():
        forwards = seconds(lambda: mx.eval(model(x)[0]), FORWARDS)
    peaks |= {"peak_bytes_forward": mx.get_peak_memory(), "resident_bytes_forward": peak_bytes()}

    by_blocks = isinstance(trainer.stepper, Layerwise)
    model.train()
    mx.reset_peak_memory()
    losses: list[float] = []
    # The first step of the ordinary trainer also compiles it.
    steps = seconds(lambda: losses.append(trainer.step(next(trainer.task.batches(1, 0)))[0]), 1 if by_blocks else STEPS)
    peaks |= {"peak_bytes_step": mx.get_peak_memory(), "resident_bytes": peak_bytes()}
    return {
        "parameters": model.predictor.size,
        "published": architecture(name).ABOUT.published,
        "weights": "bfloat16" if by_blocks else "float32",
        "step": "by blocks, Adafactor" if by_blocks else "AdamW",
        "build_s": round(built, 2),
        "forward_ms": round(min(forwards) * 1e3, 1),
        "first_step_s": round(steps[0], 2),
        "step_s": round(min(steps), 2),
        "losses": losses,
        **peaks,
    }


def in_a_process(name: str) -> dict[str, Any]:
    """What ``measure`` finds, or why it found nothing."""
    command = [sys.executable, "-m", "benchmarks.bench_lvm_full", "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure the models named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="all thirteen where none is named")
    parser.add_argument("--one", metavar="NAME", help="measure this one here and print it as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one)))
        return
    file = RESULTS / "lvm_full.json"
    results = json.loads(file.read_text(encoding="utf-8"))["models"] if args.names and file.exists() else {}
    for name in args.names or NAMES:
        results[name] = found = in_a_process(name)
        if "error" in found:
            print(f"{name:12} {found['error']}")
            continue
        fits = "under" if found["resident_bytes"] < DEFAULT_MEMORY_LIMIT else "OVER"
        print(
            f"{name:12} {found['parameters'] / 1e6:7.1f}M  built in {found['build_s']:5.1f} s  "
            f"forward {found['forward_ms']:8.1f} ms  step {found['step_s']:6.2f} s  "
            f"{found['resident_bytes'] / GIB:4.1f} GB, {fits} {DEFAULT_MEMORY_LIMIT / GIB:.0f}"
        )
    write_results("lvm_full", {"batch": BATCH, "context": CONTEXT, "models": results})


if __name__ == "__main__":
    main()
