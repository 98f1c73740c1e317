"""Generated functions through the converter: how many are right, refused, or in the table of what stays different."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from benchmarks.timing import write_results
from tests.converters.fuzz.trial import FAILURES, KINDS, attempt, settle, told

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
    with ProcessPoolExecutor(given.processes, get_context("spawn"), settle) as pool:
        for outcome in pool.map(partial(attempt, given.seed), numbers, chunksize=4):
            kinds[outcome.kind] += 1
            rows.update(outcome.rows)
            if outcome.kind in FAILURES or given.only is not None:
                print(told(outcome, given.seed), flush=True)
            if sum(kinds.values()) % SHOWN == 0:
                print(f"{sum(kinds.values()):,} graphs: {summary(kinds)}", flush=True)
                if given.write:  # a run that is stopped leaves what it found
                    write(kinds, rows, given.seed, started)
    print(
        f"{sum(kinds.values()):,} graphs: {summary(kinds)}", *(f"  {name}: {n}" for name, n in rows.items()), sep="\n"
    )
    if given.write:
        write(kinds, rows, given.seed, started)
    return int(any(kinds[kind] for kind in FAILURES))


def write(kinds: Counter[str], rows: Counter[str], seed: int, started: float) -> None:
    """benchmarks/results/fuzz.json: how many graphs became what, and how many had each row's difference."""
    row = {"graphs": sum(kinds.values()), "seed": seed, **{kind: kinds[kind] for kind in KINDS}}
    write_results("fuzz", {**row, "rows": dict(rows.most_common()), "seconds": round(time.monotonic() - started)})


def summary(kinds: Counter[str]) -> str:
    """How many became what."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))


if __name__ == "__main__":
    sys.exit(main())
