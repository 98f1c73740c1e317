"""Core AI as the front's back end: ``.aimodel``, computed by Apple's own runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from converters.backend import Call, check_supported
from converters.coreai import runtime
from converters.coreai.lower import FLOAT32, PRECISION, save
from converters.coreai.ops import OPS
from converters.coreai.runtime import Package, anatomy, load
from converters.graph import Array, Graph
from converters.passes import run_passes

__all__ = ["anatomy", "load", "save"]
NAME = "Core AI"
PRECISIONS = ("float32", "float16", "int8")
TARGETS = ("iOS27",)
ENGINES = ("auto", "coreai")


def lowered(graph: Graph) -> Graph:
    """The graph through the passes."""
    return run_passes(check_supported(graph, OPS, "converters/coreai/ops"))


def runner(package: Path | Package, engine: str = "auto") -> Call:
    """Compute a package for many inputs: it is read once."""
    return runtime.runner(package if isinstance(package, Package) else load(package))


def engine_of(engine: str) -> str:
    """There is one alone."""
    return "coreai"


def remarks(path: Path) -> list[str]:
    """How many operations a package has."""
    counts = load(path).operations
    return [f"{sum(counts.values())} operations of {len(counts)} kinds"]


def trace(package: Path | Package, graph: Graph, example: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors of the captured graph that the lowered one still has: the same graph once more, all of them its
    outputs, at the package's own precision."""
    package = package if isinstance(package, Package) else load(package)
    precision = package.metadata.get(PRECISION, "float32")
    float32: Sequence[str] = json.loads(package.metadata.get(FLOAT32, "[]"))
    whole = lowered(graph)
    names = {name: f"traced {number}" for number, name in enumerate(whole.producers) if _leaves(whole, name)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "traced.aimodel"
        save(replace(whole, outputs={own: name for name, own in names.items()}), path, precision, TARGETS[0], float32)
        traced = load(path)
        made = runtime.runner(traced)(example)
        traced.close()
    # An output bears its public name behind the passes.
    inner = {name: graph.outputs[public] for public, name in whole.outputs.items()}
    return {inner.get(name, name): made[own] for name, own in names.items()}


def _leaves(graph: Graph, name: str) -> bool:
    return graph.tensors[name].dtype != "complex64"
