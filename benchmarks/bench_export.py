"""Every export of a run at every precision: bytes, agreement with MLX on 1,000 words, and what the gate says.

    make train && wotd-mlx train --levels 32,32,32,32 --out runs/20bits && wotd-mlx train --codes fsq --out runs/fsq
    python -m benchmarks.bench_export [--runs runs/default …] [--markdown]

Computed by the reference executor where there is no Core ML. Rows are written as they come; with ``--markdown`` the
table of the last run is printed and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import RESULTS, write_results
from converters import coreml
from converters.coreml import neural_engine
from converters.coreml.executor import Executor
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.targets import find_target
from wotd_mlx.progress import progress

FILE = RESULTS / "export.json"
PRECISIONS = ("float32", "float16", "int8", "palette6", "palette4")
SHORT = [("text-encoder", 16, p) for p in PRECISIONS[:3]]
SHORT += [(name, 16, p) for name in ("encoder", "decoder") for p in PRECISIONS[:2]]
FULL = [
    *SHORT,
    *(("text-encoder", 16, p) for p in PRECISIONS[3:]),
    *(("text-encoder", n, "float16") for n in (64, 128)),
]
"""The first run has every length and palette, which take long; the others what tells their codes apart."""


def measure(coder: SemanticEncoder, name: str, length: int, precision: str) -> dict[str, Any]:
    """One export, kept whatever the gate says."""
    target = find_target(coder, name, length)
    with tempfile.TemporaryDirectory() as folder:
        package, started = Path(folder) / "export.mlpackage", time.perf_counter()
        with progress(f"{name} {length} {precision}", len(target.examples)) as advance:
            report = coreml.convert(
                target.function,
                target.examples,
                package,
                precision,
                force=True,
                float32=target.float32,
                progress=advance,
            )
        counts = Executor(package).op_counts()
        return {
            "target": name,
            "length": length if name == "text-encoder" else None,
            "precision": precision,
            "bytes": sum(f.stat().st_size for f in package.rglob("*") if f.is_file()),
            "operations": sum(n for op, n in counts.items() if op != "const"),
            "off_neural_engine": sum(row.count for row in neural_engine.report(package)),
            "psnr_db": {n: d.psnr_db for n, d in report.outputs.items() if d.is_float and math.isfinite(d.psnr_db)},
            "max_abs_error": {n: d.max_abs_error for n, d in report.outputs.items() if d.is_float},
            "codes_equal": report.codes_equal if name != "decoder" else None,
            "words": report.examples,
            "engine": report.engine,
            "passes": not report.faults(precision),
            "seconds": time.perf_counter() - started,
        }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for the docs."""
    lines = [
        "| codes | target | precision | MB | vector, dB | codes equal | operations, of them not on the NE | gate |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        length = f" {row['length']}" if row["length"] else ""
        db = row["psnr_db"].get("vector")
        codes = row["codes_equal"]
        kind = f"{row['codes']} {'×'.join(map(str, row['levels']))}"
        lines.append(
            f"| {kind} | {row['target']}{length} | {row['precision']} | {row['bytes'] / 1e6:.1f} "
            f"| {'' if db is None else f'{db:.1f}'} | {'' if codes is None else f'{codes:.1%}'} "
            f"| {row['operations']}, {row['off_neural_engine']} | {'passes' if row['passes'] else 'refused'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure :data:`FULL` on the first run, :data:`SHORT` on the others; write benchmarks/results/export.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["runs/default", "runs/20bits", "runs/fsq"])
    parser.add_argument("--markdown", action="store_true", help="print the table of the last run")
    args = parser.parse_args()
    if args.markdown:
        print(markdown(json.loads(FILE.read_text())["rows"]))
        return
    rows = []
    for position, run in enumerate(args.runs):
        coder = SemanticEncoder.load(run)
        for name, length, precision in SHORT if position else FULL:
            codes = {"codes": coder.config.codes.kind, "levels": list(coder.levels)}
            rows.append(codes | measure(coder, name, length, precision))
            write_results("export", {"rows": rows})
            print(rows[-1])


if __name__ == "__main__":
    main()
