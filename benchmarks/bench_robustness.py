"""Generated inputs for every reader of files and text: how many were refused, taken, or ended otherwise.

    python -m benchmarks.bench_robustness [-n 20000]

Each part is one of ``python -m tests.fuzz``; "undocumented" counts whatever is neither taken nor refused in one line.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.timing import write_results
from tests.fuzz.frame import PARTS, run

SLOW = {"gguf": 2, "package": 2, "run": 20}
"""Parts that read a model for each input: so many times fewer of them."""


def main() -> None:
    """Try the inputs, write benchmarks/results/robustness.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20_000, help="inputs a part")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, module in PARTS.items():
        started = time.monotonic()
        tally = run(module, given.n // SLOW.get(name, 1))
        figures[name] = {
            "inputs": tally.inputs,
            "refused": tally.refused,
            "accepted": tally.accepted,
            "undocumented": tally.undocumented,
            "seconds": time.monotonic() - started,
        }
        print(name, figures[name], flush=True)
    figures["inputs"] = sum(part["inputs"] for part in figures.values())
    write_results("robustness", figures)


if __name__ == "__main__":
    main()
