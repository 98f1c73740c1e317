"""Write docs/reference/ops.md from the converter's op table: ``python -m scripts.op_table``."""

from __future__ import annotations

from pathlib import Path

from converters.capture import capture
from converters.coreml.lower import lower
from converters.coreml.ops import OPS
from converters.passes import run_passes
from converters.primitives import PRIMITIVES, Primitive

FILE = Path(__file__).parents[1] / "docs" / "reference" / "ops.md"
HEAD = """\
# What converts

Made from `converters/primitives` and `converters/coreml/ops` by `python -m scripts.op_table`; a test refuses a stale
copy. A row is a primitive as `mx.export_function` tells it, or as a pass puts it together (family `fused`). The MIL
operations are those of its cases, constants and the operations at the edges aside. Every case is converted, run from
the saved package and compared with MLX by `tests/converters/test_ops.py`.

"""
EDGES = {"const", "identity", "cast"}


def table() -> str:
    """The whole of docs/reference/ops.md."""
    rows = [
        f"| `{name}` | {row.family} | {_emitted(row)} | {_cases(row)} | {OPS[name].note} |"
        for name, row in sorted(PRIMITIVES.items())
    ]
    head = "| primitive | family | MIL operations | cases | note |\n| --- | --- | --- | --- | --- |\n"
    return f"{HEAD}{len(PRIMITIVES)} primitives.\n\n{head}" + "\n".join(rows) + "\n"


def _emitted(row: Primitive) -> str:
    found: set[str] = set()
    for case in row.cases:
        program = lower(run_passes(capture(case.call, case.example())))
        found |= {operation.op_type for operation in program.functions["main"].operations}
    return " ".join(f"`{name}`" for name in sorted(found - EDGES)) or "none"


def _cases(row: Primitive) -> str:
    return ", ".join(case.name.replace("_", " ") for case in row.cases)


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
    print(f"{FILE.name}: {len(OPS)} primitives")
