"""The main job from words to codes: seconds, memory, and how good each kind of codes is beside FAISS at equal bits.

    python -m benchmarks.bench_main_job [--embedding ID]

Each kind trains in a process of its own with nothing cached, MLX's compiled kernels included, and once more without
attributes, which tells what readable coordinates cost. FAISS's residual
quantiser (coding with a beam of 16) trains on the same training words and is measured on the same held-out word
families.
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

import wotd_mlx
from benchmarks.coders import faiss_rq
from benchmarks.timing import alternate, write_results
from wotd_mlx.codes.report import quality
from wotd_mlx.codes.split import split_by_family
from wotd_mlx.run_folder import RunFolder

# Kind, levels, and FAISS's levels and bits beside them: its codebooks have 2^b codes, so the 11.3 bits of 8,8,8,5 stand
# beside the next more that four levels can have.
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, int]]] = {
    "hvq": ("hvq", (8, 8, 8, 5), (4, 3)),
    "hvq_20_bits": ("hvq", (32, 32, 32, 32), (4, 5)),
    "fsq": ("fsq", (8, 8, 8, 5), (4, 3)),
    "rvq": ("rvq", (32, 32, 32, 32), (4, 5)),
}


def train(kind: str, embedding: str, folder: Path, **settings: Any) -> dict[str, Any]:
    """Run the command as a user would on a machine where it never ran, with these settings."""
    with tempfile.TemporaryDirectory() as empty:
        file = Path(empty) / "settings.yaml"
        file.write_text(json.dumps({"embedding": embedding, **settings}))  # JSON is YAML
        command = ["train", "--out", str(folder), "--codes", kind, "--config", str(file), "--no-cache", "--json"]
        command += ["--language", "none"]
        found = subprocess.run(
            [sys.executable, "-m", "wotd_mlx.cli", *command],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": empty, "XDG_CACHE_HOME": empty},
        )
    report: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return report


def faiss_codes(folder: Path, levels: int, bits: int) -> dict[str, float]:
    """The same four figures for FAISS's residual quantiser on a run's own vectors and split."""
    run = RunFolder(folder)
    words, x = run.read_words()
    split = split_by_family([word.text for word in words], run.read_config()[0])
    mean, held = x[split.train].mean(axis=0), x[split.test]
    coder = faiss_rq(levels * bits, bits)(x[split.train] - mean, 0)
    return {"bits": levels * bits, **quality(held, coder.decode(coder.encode(held - mean)) + mean, mean)}


def main() -> None:
    """Train each kind, measure FAISS beside it, write benchmarks/results/main_job.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedding", default=wotd_mlx.TrainingConfig().embedding)
    embedding = parser.parse_args().embedding
    kinds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, levels, peer) in CASES.items():
            run, codes = Path(folder) / name, {"levels": levels}
            report = train(kind, embedding, run, codes=codes)
            measured = report["metrics"]
            kinds[name] = {
                "seconds_total": report["seconds"],
                "seconds": measured["seconds"],
                "peak_bytes": measured["peak_bytes"],
                "corpus": measured["corpus"],
                "codes": measured["codes"],
                "codes_without_labels": train(kind, embedding, run / "plain", codes=codes, attributes=[])["metrics"][
                    "codes"
                ],
                "faiss_rq": faiss_codes(run, *peer),
            }
            print(name, json.dumps(kinds[name], indent=1))
    command = [sys.executable, "-m", "wotd_mlx.cli", "--help"]
    found = alternate({"help": lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)}, 10)
    write_results("main_job", {"embedding": embedding, "help_ms": found["help"] * 1e3, "kinds": kinds})


if __name__ == "__main__":
    main()
