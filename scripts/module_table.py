"""Fill docs/models.md with modules of mlx-examples, mlx-vlm, mlx-audio, mlx-image and mamba.py.

    python -m scripts.module_table --examples ~/mlx-examples --mamba ~/mamba.py
    python -m scripts.module_table --only "SAM: neck" --examples ~/mlx-examples

Each is built small from where its code is, an installed package or a checkout, with random weights, converted at
float32 and at float16, and verified against MLX. None of their code is here; what isn't there is listed as not built.
"""

from __future__ import annotations

import argparse
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import mlx.core as mx

from scripts.conversions import (
    Cell,
    Made,
    Package,
    cells_table,
    kept,
    reasons,
    to_try,
    tried_on,
    try_all,
    verdicts,
    work,
)
from scripts.model_table import PAGE
from scripts.small_modules import MODULES, SOURCES
from scripts.tables import filled

FILE = "modules.jsonl"
COLUMNS = {
    "fp32": Package("float32"),
    "fp16": Package("float16"),
    "Core AI": Package("float32", ".aimodel"),
    "Core AI fp16": Package("float16", ".aimodel"),
}
PACKAGES = {"mlx-vlm": "mlx_vlm", "mlx-audio": "mlx_audio", "mlx-image": "mlxim"}
NOTES = {
    "Flux: positions": "its own output has six axes; the blocks, which hold it inside, convert",
    "Flux: transformer, fp16": 'sines of the guidance × 1000; with `float32=["time_in", "guidance_in"]` 71 dB',
    "EnCodec: encoder": "its LSTM is a Metal kernel without another form",
    "EnCodec: residual quantiser, fp16": "of two entries that lie nearly alike float16 takes the other",
    "llms: mixtral": "its experts are looked up on the host, token by token",
}
"""What was found out about those that are stopped."""


def prepared(cell: Cell) -> Made:
    """A module and its example."""
    mx.random.seed(0)
    return MODULES[cell.name]()


def modules() -> str:
    """The part of docs/models.md about other libraries' modules."""
    rows, columns = kept(FILE), list(COLUMNS)
    about = (
        f"{len({cell.name for cell in rows})} models and blocks of {tried_on(FILE)}. How many convert, and what "
        "becomes of the others:"
    )
    return "\n\n".join(
        (
            about,
            verdicts(rows, columns),
            cells_table(rows, columns, "module"),
            "### Why a module doesn't",
            reasons(rows, columns, NOTES, "module"),
        )
    )


def versions() -> str:
    """Of the packages that are installed, and of the checkouts that were given."""
    found = [f"{name} {version(name)}" for name, package in PACKAGES.items() if find_spec(package)]
    for name, path in SOURCES.items():
        asked = ("git", "-C", str(path), "rev-parse", "--short", "HEAD")
        commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        found.append(f"{name} {commit}".strip())
    return ", ".join(found)


def main() -> None:
    import scripts.modules_examples
    import scripts.modules_packages  # noqa: F401  registers them

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=Path, help="a checkout of github.com/ml-explore/mlx-examples")
    parser.add_argument("--mamba", type=Path, help="a checkout of github.com/alxndrTL/mamba.py")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these anew")
    parser.add_argument("--fresh", action="store_true", help="try all anew")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    found = {"mlx-examples": given.examples, "mamba.py": given.mamba}
    SOURCES.update({name: path.resolve() for name, path in found.items() if path})
    if given.worker:
        work(given.worker, prepared, COLUMNS)
        return
    cells = [Cell(name, column) for name in given.only or MODULES for column in COLUMNS]
    tried = cells if given.only or given.fresh else to_try(cells, FILE)
    options = [f"--{key}={path}" for key, path in (("examples", given.examples), ("mamba", given.mamba)) if path]
    try_all("scripts.module_table", tried, FILE, versions(), options)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"modules": modules}), encoding="utf-8")


if __name__ == "__main__":
    main()
