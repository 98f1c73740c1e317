"""The command; see the package."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz.frame import PARTS, run, write


def main() -> int:
    """Run the parts asked for, a line each; 1 if any did what isn't documented."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Generated inputs for readers.")
    parser.add_argument(
        "parts", nargs="*", choices=[[], *PARTS], default=[*PARTS], metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("-n", type=int, default=1000, help="inputs a part (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the others' follow (default: 0)")
    given = parser.parse_args()
    failed = False
    for name in given.parts:
        tally = run(PARTS[name], given.n, given.seed)
        told = f"{tally.refused:,} refused, {tally.accepted:,} accepted, {tally.undocumented:,} undocumented"
        print(f"{name}: {tally.inputs:,} inputs, {told}", flush=True)
        if tally.first:
            failed = True
            seed, what = tally.first
            part: Any = importlib.import_module(PARTS[name])
            saved = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"{name}-{seed}"
            write(saved, part.make(random.Random(seed)))
            print(f"  seed {seed}: {what}\n  saved as {saved}; again: python -m tests.fuzz {name} -n 1 --seed {seed}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
