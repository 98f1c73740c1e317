"""Every export of a run at every precision: bytes, agreement with MLX on 1,000 words, and what the gate says.

    make train && wotd-mlx train --codes fsq --language none --out runs/fsq
    python -m benchmarks.bench_export [--runs runs/default …] [--data ../shared/data] [--only iOS27] [--markdown]

Computed by the reference executor where there is no Core ML. With ``--data``, a folder that holds wiki/concepts.tsv,
IDs of 1,000 fragments of its sentences that no word table knows are compared too, where an app searches them itself.
Rows are written as they come; with ``--markdown`` the table of the last run is printed and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS, write_results
from converters import coreml
from converters.coreml import neural_engine
from converters.coreml.executor import Executor
from converters.front import runner
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.agreement import Agreement
from wotd_mlx.export.fixtures import case
from wotd_mlx.export.targets import Target, find_target, tokens
from wotd_mlx.progress import progress
from wotd_mlx.words.normal import normal

FILE = RESULTS / "export.json"
TEXT = [("text-encoder", 16, *kind) for kind in (("float16", "iOS17"), ("int8", "iOS17"), ("int8", "iOS18"))]
SHORT = [*TEXT, ("encoder", 16, "float32", "iOS17"), ("decoder", 16, "float16", "iOS17")]
COREAI = [("text-encoder", 16, precision, "iOS27") for precision in ("float32", "float16", "int8")]
FULL = [*SHORT, ("text-encoder", 16, "float32", "iOS17"), ("text-encoder", 16, "palette6", "iOS17"), *COREAI]
"""The first run has more precisions, which take long; the others what tells their codes apart."""
UNKNOWN = 1000
FEW = 64
"""Texts of each kind for Core AI in int8, which takes a second and more for one on a CPU."""
LONGEST = 4
"""Words of a fragment."""


def fragments(coder: SemanticEncoder, data: Path) -> list[str]:
    """Up to :data:`LONGEST` words from within sentences, none of them a word that the run knows; the same each time."""
    rng = np.random.default_rng(0)
    lines = (data / "wiki" / "concepts.tsv").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(_drawn(rng, lines, coder)))[:UNKNOWN]


def _drawn(rng: np.random.Generator, lines: Sequence[str], coder: SemanticEncoder) -> Iterator[str]:
    for row in rng.permutation(len(lines))[: 2 * UNKNOWN].tolist():
        words = lines[row].split("\t")[-1].split()
        count = int(rng.integers(1, LONGEST + 1))
        start = int(rng.integers(0, max(1, len(words) - count)))
        text = " ".join(words[start : start + count])
        if text and coder.known.row(text) is None:
            yield text


def agreed(report: coreml.Report, seen: Agreement | None, precision: str) -> coreml.Report:
    """The report with how many IDs an app finds that MLX finds, where it searches them."""
    return seen.added(report, precision, force=True) if seen else report


def unknown(coder: SemanticEncoder, target: Target, package: Path, texts: Sequence[str]) -> dict[str, float]:
    """Shares of equal IDs, and of equal readable numbers, among texts that the run doesn't know."""
    assert target.dictionary is not None
    seen, call = Agreement(coder.model, target.dictionary), runner(package)
    examples = tokens(coder, [normal(text) for text in texts], 16)
    for example in examples:
        made = case(target, example)
        seen.seen({n: np.array([made[n]], np.float32) for n in ("vector", "probabilities")}, call(example))
    return seen.shares()


def counted(package: Path) -> dict[str, int | None]:
    """Operations of a package, and those not expected on the Neural Engine, of which of Core AI nothing is known."""
    if package.suffix == ".aimodel":
        from converters.coreai.runtime import load

        return {"operations": sum(load(package).operations.values()), "off_neural_engine": None}
    counts = Executor(package).op_counts()
    return {
        "operations": sum(n for op, n in counts.items() if op != "const"),
        "off_neural_engine": sum(row.count for row in neural_engine.report(package)),
    }


def measure(
    coder: SemanticEncoder, name: str, length: int, precision: str, system: str, texts: Sequence[str]
) -> dict[str, Any]:
    """One export, kept whatever the gate says."""
    target = find_target(coder, name, length)
    agreement = None if target.dictionary is None else Agreement(coder.model, target.dictionary)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / ("export.aimodel" if system == "iOS27" else "export.mlpackage")
        few = FEW if (system, precision) == ("iOS27", "int8") else None
        examples, texts = target.examples[:few], texts[:few]
        with progress(f"{name} {length} {precision}", len(examples)) as advance:
            report = coreml.convert(
                target.function,
                examples,
                package,
                precision,
                system,
                force=True,
                float32=target.float32,
                progress=advance,
                seen=agreement.seen if agreement else None,
            )
        passes, report = not report.faults(precision), agreed(report, agreement, precision)
        return {
            "target": name,
            "length": length if name == "text-encoder" else None,
            "precision": precision,
            "system": system,
            "bytes": sum(f.stat().st_size for f in package.rglob("*") if f.is_file()),
            "dictionary_bytes": None if target.dictionary is None else len(target.dictionary),
            **counted(package),
            "psnr_db": {n: d.psnr_db for n, d in report.outputs.items() if d.is_float and math.isfinite(d.psnr_db)},
            "max_abs_error": {n: d.max_abs_error for n, d in report.outputs.items() if d.is_float},
            "codes_equal": {n: d.equal for n, d in report.outputs.items() if not d.is_float},
            "unknown_equal": unknown(coder, target, package, texts) if texts and agreement else None,
            "words": report.examples,
            "engine": report.engine,
            "passes": passes,
        }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for the docs."""
    lines = [
        "| codes | target | precision | MB | vector, dB | IDs equal | of unknown texts: whole / readable "
        "| operations, not on the NE |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        length, db = f" {row['length']}" if row["length"] else "", row["psnr_db"].get("vector")
        size = f"{row['bytes'] / 1e6:.1f}"
        size += f" + {row['dictionary_bytes'] / 1e6:.1f}" if row["dictionary_bytes"] else ""
        found, equal = row["unknown_equal"], row["codes_equal"].get("id")
        kind = f"{row['codes']} {'×'.join(map(str, row['levels']))}"
        precision = row["precision"] + (f", {row['system']}" if row["system"] != "iOS17" else "")
        lines.append(
            f"| {kind} | {row['target']}{length} | {precision} | {size} | {'' if db is None else f'{db:.1f}'} "
            f"| {'' if equal is None else f'{equal:.1%}'} "
            f"| {'' if found is None else ' / '.join(f'{share:.1%}' for share in found.values())} "
            f"| {', '.join(str(row[n]) for n in ('operations', 'off_neural_engine') if row[n] is not None)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure :data:`FULL` on the first run, :data:`SHORT` on the others; write benchmarks/results/export.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=["runs/default", "runs/fsq"])
    parser.add_argument("--data", type=Path, help="a folder with wiki/concepts.tsv")
    parser.add_argument("--only", metavar="SYSTEM", help="its rows alone, of the first run; the others stay")
    parser.add_argument("--markdown", action="store_true", help="print the table of the last run")
    args = parser.parse_args()
    if args.markdown:
        print(markdown(json.loads(FILE.read_text())["rows"]))
        return
    rows = json.loads(FILE.read_text())["rows"] if args.only else []
    rows = [row for row in rows if row["system"] != args.only]
    for position, run in enumerate(args.runs[: 1 if args.only else None]):
        coder = SemanticEncoder.load(run)
        texts = fragments(coder, args.data) if args.data else []
        wanted = [row for row in (SHORT if position else FULL) if args.only in (None, row[3])]
        for name, length, precision, system in wanted:
            codes = {"codes": coder.config.codes.kind, "levels": list(coder.levels)}
            rows.append(codes | measure(coder, name, length, precision, system, texts))
            write_results("export", {"rows": rows})
            print(rows[-1])


if __name__ == "__main__":
    main()
