"""WOTDKit on a Linux machine, release build: opening a bundle, looking words up, nearest words, memory, file sizes.

    make train && python -m benchmarks.bench_kit [--run runs/default]

Of two bundles: 30,000 words of the run that all have vectors, and the run as it is exported. Every start is a process
of its own, and the bundles take turns. What the JSON says of the time before there was a word table is kept from run to
run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS, write_results
from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.codes.packed import Int8Rows
from wotd_mlx.embed.models import find_model, resolve
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.manifest import FORMAT, coordinates
from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import FILE, Table

HERE = Path(__file__).parent
KIT = HERE.parent / "wotd_mlx" / "export" / "WOTDKit"
MANY, STARTS, ASKED, NEAREST = 30_000, 21, 1000, 10
LOOKED_UP = 2000
PACKAGE = """\
// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Bench",
    platforms: [.macOS(.v14)],
    targets: [.target(name: "WOTDKit"), .executableTarget(name: "kit", dependencies: ["WOTDKit"])]
)
"""


def build(folder: Path, kit: Path = KIT, program: Path = HERE / "kit" / "main.swift") -> Path:
    """The benchmark's program beside WOTDKit's sources, optimised."""
    shutil.copytree(kit / "Sources" / "WOTDKit", folder / "Sources" / "WOTDKit")
    (folder / "Sources" / "kit").mkdir()
    shutil.copy(program, folder / "Sources" / "kit" / "main.swift")
    (folder / "Package.swift").write_text(PACKAGE)
    subprocess.run(["swift", "build", "--package-path", folder, "-c", "release"], check=True, stdout=subprocess.DEVNULL)
    return folder / ".build" / "release" / "kit"


def write_bundle(folder: Path, coder: SemanticEncoder, words: int, own: Sequence[int]) -> dict[str, Any]:
    """The files of a bundle with the run's first words, those of ``own`` with vectors; and how large they are."""
    folder.mkdir(parents=True)
    known, pieces = coder.known, read_pieces(resolve(find_model(coder.config.embedding)) / "tokenizer.json")
    texts, ids = known.words[:words], known.ids[:words]
    table = Table(texts, ids, own, known.word_rows.rows(np.array(own)), pieces.numbers)
    (folder / FILE).write_bytes(table.encoded())
    listed = {"file": FILE, "count": words, "vectors": len(own), "dimensions": coder.dims}
    codes = {"kind": coder.config.codes.kind, "levels": list(coder.levels), "coordinates": coordinates(coder)}
    settings = {"max_length": 16, **pieces.settings}
    named = {"format": FORMAT, "kind": "text-encoder", "name": "TextEncoder", "package": "TextEncoder.mlpackage"}
    # What an app doesn't read is a third of a kilobyte for each kind of operation, some fifty of them.
    skipped = [{"op": f"op {n}", "count": n, "why": "." * 250} for n in range(50)]
    manifest = {**named, "inputs": [], "outputs": [], "words": listed, "tokenizer": settings, "codes": codes}
    manifest["neural_engine"] = skipped
    (folder / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))
    some = texts[:: max(1, words // LOOKED_UP)]
    (folder / "texts.txt").write_text("".join(f"{text.upper() if n % 2 else text}\n" for n, text in enumerate(some)))
    bare = Table(texts, ids, (), np.zeros((0, coder.dims), np.float32))
    return {
        "words": words,
        "vectors": len(own),
        "manifest_bytes": (folder / "manifest.json").stat().st_size,
        "table_bytes": (folder / FILE).stat().st_size,
        "texts_and_ids_bytes": len(bare.encoded()),
    }


def measure(programs: Mapping[str, tuple[Path, Path]]) -> dict[str, dict[str, float]]:
    """Medians over starts of each program on its bundle; megabytes beyond what the program itself holds."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for _ in range(STARTS):
        for name, (program, bundle) in programs.items():
            bare, found = _start(program, bundle), _start(program, bundle, "open")
            memory = {key: found[key] - bare[key] for key in ("peak_mb", "own_mb")}
            rows[name].append(found | memory)
    return {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]} for name, found in rows.items()
    }


def _start(program: Path, bundle: Path, *options: str) -> dict[str, float]:
    done = subprocess.run([program, bundle, *options], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def recall(vectors: Embeddings) -> dict[str, float]:
    """Which share of a word's ten nearest, itself left out, are still so where vectors are stored in fewer bits."""
    vectors = unit(vectors[:MANY]).astype(np.float32)
    asked = np.random.default_rng(0).choice(len(vectors), min(ASKED, len(vectors)), replace=False)
    whole = _nearest(vectors, vectors, asked)
    stored = {
        "int8": Int8Rows.of(vectors).rows(np.arange(len(vectors))),
        "float16": vectors.astype(np.float16).astype(np.float32),
    }
    return {
        name: float(np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(whole, found, strict=True)]))
        for name, found in ((name, _nearest(vectors, rows, asked).tolist()) for name, rows in stored.items())
    }


def _nearest(queries: Embeddings, vectors: Embeddings, asked: np.ndarray) -> np.ndarray:
    cosines = queries[asked] @ vectors.T
    cosines[np.arange(len(asked)), asked] = -np.inf
    return np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]


def main() -> None:
    """Measure both bundles; write benchmarks/results/kit.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/default")
    coder = SemanticEncoder.load(parser.parse_args().run)
    own = [row for text in coder.own_ids if (row := coder.known.row(text)) is not None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {
            "many": write_bundle(folder / "many", coder, MANY, range(MANY)),
            "default": write_bundle(folder / "default", coder, len(coder.known), own),
        }
        program = build(folder / "program")
        found = measure({name: (program, folder / name) for name in sizes})
    kept = json.loads((RESULTS / "kit.json").read_text()).get("before") if (RESULTS / "kit.json").exists() else None
    bundles = {name: sizes[name] | found[name] for name in sizes}
    figures = {"starts": STARTS, "bundles": bundles, "recall_at_10": recall(coder.words[1])}
    write_results("kit", figures | ({"before": kept} if kept else {}))


if __name__ == "__main__":
    main()
