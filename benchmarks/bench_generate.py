"""All four stages from nothing, what the language model is then worth, and how long five words take.

    python -m benchmarks.bench_generate [--requests 500] [--answers 40] [--out DIR]

First ``wotd-mlx train`` as a user runs it where nothing is cached: seconds and peak memory of each stage. Then five
words by ID, p50 and p95 over so many requests by each way to choose, the model loaded, prompts cached as in use. Then
``wotd-mlx language evaluate``: perplexity tuned and untuned, form, meaning beside the nearest and random words. Each in
a process of its own, on otherwise idle cores. Written: ``results/generate.json``; about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import write_results

WAYS: dict[str, dict[str, Any]] = {
    "blend": {"by": "blend"},
    "blend, in turn": {"by": "blend", "sequential": True},
    "model": {"by": "model"},
    "model, any word": {"by": "model", "any_word": True},
    "encoder": {"by": "encoder"},
}


def call(*arguments: object, cache: Path) -> dict[str, Any]:
    """The last JSON line of a command, on a machine whose caches are empty."""
    command = [sys.executable, "-m", "wotd_mlx.cli", *map(str, arguments), "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    row: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return row


def latencies(run: Path, answers: int) -> dict[str, Any]:
    """Milliseconds for five words by an ID that at least five words have; to be called in a fresh process."""
    from wotd_mlx.config.generate import GenerateConfig
    from wotd_mlx.language.dsl import ByPattern
    from wotd_mlx.language.generate import load_generator
    from wotd_mlx.language.pattern import Pattern

    generator = load_generator(run)
    ids, counts = np.unique(generator.known.ids, axis=0, return_counts=True)
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(counts >= 5))[: answers + 2]
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    # In turns, so that a slow minute of the machine hits all alike; the first two only warm up.
    for turn, row in enumerate(chosen):
        for name, options in WAYS.items():
            request = ByPattern(Pattern.of(ids[row].tolist()))
            found = generator.generate(request, GenerateConfig(seed=turn, **options))
            took[name] += [found.latency_ms] if turn > 1 else []
    return {name: {"p50": float(np.median(t)), "p95": float(np.percentile(t, 95))} for name, t in took.items()}


def main() -> None:
    """Train, time, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500, help="answered for each figure of the evaluation")
    parser.add_argument("--answers", type=int, default=40, help="timed for each way to choose")
    parser.add_argument("--out", type=Path, help="where the runs are kept, and found again; else thrown away")
    parser.add_argument("--time", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.time:
        print(json.dumps(latencies(args.time, args.answers)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = args.out or Path(temporary) / "runs", Path(temporary) / "cache"
        run = folder / "digits"
        trained = call("train", "--out", run, "--no-cache", cache=cache)
        figures = {"seconds": trained["metrics"]["seconds"], "peak_bytes": trained["metrics"]["peak_bytes"]}
        figures["seconds_total"] = trained["seconds"]
        print(json.dumps(figures), flush=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.bench_generate",
            "--time",
            str(run),
            "--answers",
            str(args.answers),
        ]
        timed = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        figures["latency_ms"] = json.loads(timed.stdout.splitlines()[-1])
        print(json.dumps(figures["latency_ms"]), flush=True)
        figures["digits"] = call("language", "evaluate", "--run", run, "--requests", args.requests, cache=cache)
        figures["digits_history"] = json.loads((run / "language" / "history.json").read_text())
        write_results("generate", figures)


if __name__ == "__main__":
    main()
