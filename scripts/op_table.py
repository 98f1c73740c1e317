"""Write docs/reference/ops.md from the converter's op tables: ``python -m scripts.op_table``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from converters.capture import capture
from converters.coreai import lower as coreai
from converters.coreai.ops import OPS as COREAI
from converters.coreml import lower as coreml
from converters.coreml.ops import OPS as COREML
from converters.graph import Graph
from converters.passes import run_passes
from converters.primitives import PRIMITIVES, Primitive

FILE = Path(__file__).parents[1] / "docs" / "reference" / "ops.md"
HEAD = """\
# What converts

Made from `converters/primitives`, `converters/coreml/ops` and `converters/coreai/ops` by `python -m scripts.op_table`;
a test refuses a stale copy. A row is a primitive as `mx.export_function` tells it, or as a pass puts it together
(family `fused`). The operations are those that its cases become in float32, constants and what stands at the edges
aside. Every case is converted both ways, run from the saved package and compared with MLX by
`tests/converters/test_ops.py` and `tests/converters/test_coreai.py`.

"""
COLUMNS = ("primitive", "family", "in Core ML", "in Core AI", "cases", "notes: Core ML", "notes: Core AI")
EDGES = {"const", "identity", "cast", "constant", "graph", "name", "output"}


def table() -> str:
    """The whole of docs/reference/ops.md."""
    rows = [
        f"| `{name}` | {row.family} | {_told(row, _mil)} | {_told(row, _dialect)} | {_cases(row)} "
        f"| {COREML[name].note} | {COREAI[name].note} |"
        for name, row in sorted(PRIMITIVES.items())
    ]
    head = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
    return f"{HEAD}{len(PRIMITIVES)} primitives.\n\n{head}" + "\n".join(rows) + "\n"


def _told(row: Primitive, emitted: Callable[[Graph], Iterator[str]]) -> str:
    found = {op for case in row.cases for op in emitted(run_passes(capture(case.call, case.example())))}
    return " ".join(f"`{name}`" for name in sorted(found - EDGES)) or "none"


def _mil(graph: Graph) -> Iterator[str]:
    return (operation.op_type for operation in coreml.lower(graph).functions["main"].operations)


def _dialect(graph: Graph) -> Iterator[str]:
    return iter(re.findall(r"(?<!\w)coreai\.(?:decomposable\.)?(\w+)", str(coreai.lower(graph))))


def _cases(row: Primitive) -> str:
    return ", ".join(case.name.replace("_", " ") for case in row.cases)


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
    print(f"{FILE.name}: {len(PRIMITIVES)} primitives")
