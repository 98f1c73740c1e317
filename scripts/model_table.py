"""Fill docs/models.md with every architecture of mlx-lm, small, through the converter.

    python -m scripts.model_table                      what benchmarks/results/models.jsonl doesn't hold yet
    python -m scripts.model_table --fresh              all anew
    python -m scripts.model_table --only llama mamba2  these anew

Each is one fixed-shape prefill of 8 tokens, verified against MLX, with its weights in each of :data:`COLUMNS`. A row is
kept as soon as it is known, so that a run which was stopped goes on where it was; the page is made from those kept.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Any, NamedTuple

import mlx.core as mx
from mlx import nn

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
from scripts.small_models import TOKENS, architectures, build, tokens
from scripts.tables import ROOT, filled

PAGE = ROOT / "docs" / "models.md"
FILE = "models.jsonl"


class Column(NamedTuple):
    """What a column does with a model's weights, and the package that it makes."""

    package: Package
    dtype: mx.Dtype | None = None
    bits: int | None = None


COLUMNS = {
    "fp32": Column(Package("float32")),
    "fp16": Column(Package("float16")),
    "fp16 weights": Column(Package("float32"), dtype=mx.float16),
    "bf16 weights": Column(Package("float32"), dtype=mx.bfloat16),
    "4-bit": Column(Package("float32"), bits=4),
    "Core AI": Column(Package("float32", ".aimodel")),
    "Core AI fp16": Column(Package("float16", ".aimodel")),
}
GROUP = 32
NOTES = {
    "bitnet": "its layers are a Metal kernel without another form",
    "dbrx": "its experts are looked up on the host, token by token",
    "muse_spark": "its layers are Metal kernels without another form",
    "afm7, fp16": "it rounds keys and values to whole numbers, and float16 rounds some to the next one",
    "longcat_flash_ngram": "its hashes of n-grams are 64-bit",
    "step3p5, fp16": "of two experts that score nearly alike float16 takes the other",
}
"""What was found out about those that are stopped."""


def prepared(cell: Cell) -> Made:
    """A model's prefill with the weights of a column."""
    model, column = build(cell.name), COLUMNS[cell.column]
    if column.dtype is not None:
        model.set_dtype(column.dtype)
    if column.bits:
        nn.quantize(model, GROUP, column.bits, class_predicate=_quantisable)
    mx.eval(model.parameters())

    def prefill(tokens: mx.array) -> Any:
        return model(tokens)

    return prefill, {"tokens": tokens()}


def _quantisable(_: str, module: nn.Module) -> bool:
    """As mlx-lm chooses: a layer whose rows divide into whole groups."""
    return hasattr(module, "to_quantized") and module.weight.shape[-1] % GROUP == 0


def models() -> str:
    """The part of docs/models.md about mlx-lm's architectures."""
    rows, columns = kept(FILE), list(COLUMNS)
    about = (
        f"Each of the {len({cell.name for cell in rows})} architectures of {tried_on(FILE)}: two to four small layers, "
        f"one prefill of {TOKENS} tokens. How many convert, and what becomes of the others:"
    )
    return "\n\n".join(
        (
            about,
            verdicts(rows, columns),
            cells_table(rows, columns, "architecture"),
            "### Why a language model doesn't",
            reasons(rows, columns, NOTES, "architecture"),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these anew")
    parser.add_argument("--fresh", action="store_true", help="try all anew")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, prepared, {name: column.package for name, column in COLUMNS.items()})
        return
    cells = [Cell(name, column) for name in given.only or architectures() for column in COLUMNS]
    anew = given.only or given.fresh
    try_all("scripts.model_table", cells if anew else to_try(cells, FILE), FILE, f"mlx-lm {version('mlx-lm')}")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), {"models": models}), encoding="utf-8")


if __name__ == "__main__":
    main()
