"""The command; see the package."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from benchmarks.timing import write_results
from tests.converters.fuzz.trial import FAILURES, KINDS, attempt, told

SHOWN = 100
"""Graphs between two lines of progress."""


def main() -> int:
    """Try the graphs; 1 if any differs in silence or ends in anything but one line."""
    parser = argparse.ArgumentParser("python -m tests.converters.fuzz", description="Generated functions, converted.")
    parser.add_argument("--graphs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first graph (default: 0)")
    parser.add_argument("--only", type=int, help="one graph alone, by its number")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/fuzz.json")
    given = parser.parse_args()
    numbers = (
        range(given.first, given.first + given.graphs) if given.only is None else range(given.only, given.only + 1)
    )
    started, kinds, rows = time.monotonic(), Counter[str](), Counter[str]()
    with ProcessPoolExecutor(given.processes, get_context("spawn"), gc.freeze) as pool:
        for outcome in pool.map(partial(attempt, given.seed), numbers, chunksize=4):
            kinds[outcome.kind] += 1
            rows.update(outcome.rows)
            if outcome.kind in FAILURES or given.only is not None:
                print(told(outcome, given.seed), flush=True)
            if sum(kinds.values()) % SHOWN == 0:
                print(f"{sum(kinds.values()):,} graphs: {summary(kinds)}", flush=True)
    print(
        f"{sum(kinds.values()):,} graphs: {summary(kinds)}", *(f"  {name}: {n}" for name, n in rows.items()), sep="\n"
    )
    if given.write:
        row = {kind: kinds[kind] for kind in KINDS}
        seconds = round(time.monotonic() - started)
        write_results(
            "fuzz", {"graphs": sum(kinds.values()), "seed": given.seed, **row, "rows": dict(rows), "seconds": seconds}
        )
    return int(any(kinds[kind] for kind in FAILURES))


def summary(kinds: Counter[str]) -> str:
    """How many became what."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))


if __name__ == "__main__":
    sys.exit(main())
