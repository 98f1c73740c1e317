"""What a shell command takes on the CPU, from its start to its end: known words, and what needs a model.

    wotd-mlx train && python -m benchmarks.bench_shell [--run runs/default] [--rounds 9]

User and system seconds of the whole process, and seconds on the clock; the commands take turns. Python with numpy alone
is what none can go below.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import write_results
from wotd_mlx.known import FILE, KnownWords
from wotd_mlx.run_folder import HINT, RunFolder
from wotd_mlx.taste.sqlite import DATA_VARIABLE

WOTD = ("-m", "wotd_mlx.cli")
WORD, TEXT, DESCRIPTION = "solitude", "a walk in the rain", "pleasing to the ear"


def commands(run: str) -> dict[str, tuple[str, ...]]:
    """Name → what Python is called with."""
    known = KnownWords.read(RunFolder(run).path / FILE, HINT)
    number = ",".join(map(str, known.id_of(known.row(WORD) or 0)))
    from_run = ("--run", run, "--json")
    return {
        "python and numpy": ("-c", "import numpy"),
        "encode WORD": (*WOTD, "encode", WORD, *from_run),
        "encode TEXT": (*WOTD, "encode", TEXT, *from_run),
        "decode ID": (*WOTD, "decode", number, *from_run),
        "codes": (*WOTD, "codes", *from_run),
        "find DESCRIPTION": (*WOTD, "find", DESCRIPTION, *from_run),
        "find WORD": (*WOTD, "find", WORD, *from_run),
        "show WORD": (*WOTD, "show", WORD, *from_run),
        "generate --method encoder ID": (*WOTD, "generate", number, "--method", "encoder", *from_run),
        "generate --method encoder beautiful": (*WOTD, "generate", "beautiful", "--method", "encoder", *from_run),
        "generate ID": (*WOTD, "generate", number, *from_run),
        # By the words that the package ships, as after an installation: no run is in this folder.
        "today, of a new profile": (*WOTD, "today", "--json"),
        "today, again": (*WOTD, "today", "--json"),
    }


def timed(arguments: tuple[str, ...], folder: str) -> tuple[float, float]:
    """CPU seconds, user and system, and seconds on the clock, of Python with these arguments.

    Args:
        folder: where it is called, and keeps profiles.

    Raises:
        RuntimeError: it failed.
    """
    started = time.perf_counter()
    environment = {**os.environ, DATA_VARIABLE: folder}
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if process.returncode or status:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def main() -> None:
    """Time each command, write benchmarks/results/shell.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/default"), help="a finished run (default: runs/default)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each command (default: 9)")
    args = parser.parse_args()
    run = str(args.run.resolve())
    asked = commands(run)
    cpu: dict[str, list[float]] = {name: [] for name in asked}
    clock: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(args.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, arguments in asked.items():
                spent, took = timed(arguments, folder)
                if turn:  # the first reads the files into the system's cache
                    cpu[name].append(spent)
                    clock[name].append(took)
    known = KnownWords.read(RunFolder(args.run).path / FILE, HINT)
    figures: dict[str, Any] = {
        "words": len(known),
        "senses": len(known.owner),
        "rounds": args.rounds,
        "commands": {
            name: {
                "command": " ".join(("python", *arguments)).replace(run, "runs/default"),
                "cpu_s": round(statistics.median(cpu[name]), 3),
                "wall_s": round(statistics.median(clock[name]), 3),
            }
            for name, arguments in asked.items()
        },
    }
    for name, row in figures["commands"].items():
        print(f"{name:<36} {row['cpu_s']:.2f} s CPU  {row['wall_s']:.2f} s")
    write_results("shell", figures)


if __name__ == "__main__":
    main()
