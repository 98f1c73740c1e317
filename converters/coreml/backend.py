"""Core ML as the front's back end: ``.mlpackage``, run by Core ML on macOS and by the reference executor anywhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from converters.backend import Call, check_supported
from converters.capture import dtype_name
from converters.coreml import neural_engine
from converters.coreml.anatomy import anatomy
from converters.coreml.executor import Executor, Package, load_package
from converters.coreml.legal import check_legal
from converters.coreml.lower import PRECISIONS, TARGETS, save
from converters.coreml.ops import OPS
from converters.errors import ConversionError, PackageError
from converters.graph import FLOATS, Array, Graph
from converters.names import from_metadata
from converters.passes import run_passes
from converters.ranges import check_ranges

__all__ = ["PRECISIONS", "TARGETS", "anatomy", "save"]
NAME = "Core ML"
ENGINES = ("auto", "reference", "coreml")


def lowered(graph: Graph) -> Graph:
    """The graph through the passes, where all that it reads fits int32."""
    return check_ranges(run_passes(check_supported(graph, OPS, "converters/coreml/ops")))


def load(path: Path) -> Package:
    """A saved package that Core ML's compiler would take."""
    return check_legal(load_package(path))


def runner(package: str | Path | Package, engine: str = "auto") -> Call:
    """Compute a package for many inputs: it is read once."""
    call: Callable[[Mapping[str, Array]], Mapping[str, Any]]
    if engine_of(engine) == "reference":
        call = executor = Executor(package)
        public, unsigned = executor.package.public, executor.package.unsigned
    else:
        import coremltools as ct

        # On the CPU, where float32 is float32; how the other units differ is for benchmarks to tell.
        path = package.path if isinstance(package, Package) else package
        model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
        call, (public, unsigned) = model.predict, from_metadata(model.user_defined_metadata)
    own = {name: inner for inner, name in public.items()}

    def run_once(inputs: Mapping[str, Any]) -> dict[str, Array]:
        made = call({own.get(name, name): edge(array) for name, array in inputs.items()})
        named = {public.get(name, name): np.asarray(array) for name, array in made.items()}
        return {n: array.astype(np.int32).view(np.uint32) if n in unsigned else array for n, array in named.items()}

    return run_once


def engine_of(engine: str) -> str:
    """``auto`` as the engine that this system has."""
    if engine == "coreml" and sys.platform != "darwin":
        raise ConversionError("Core ML runs on macOS only; engine='reference' computes the same package here")
    return engine if engine != "auto" else "coreml" if sys.platform == "darwin" else "reference"


def edge(array: Any) -> Array:
    """An array as it enters a package: float32 or int32, a scalar as shape (1,); of a uint32 the same bits.

    Raises:
        PackageError: 64-bit numbers that int32 doesn't hold.
    """
    if isinstance(array, mx.array):
        array = np.array(array.astype(mx.float32) if dtype_name(array.dtype) in FLOATS else array)
    array = np.asarray(array)
    made = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and (made != array).any():
        raise PackageError(f"numbers from {array.min()} to {array.max()}; Core ML's integers are int32")
    return np.asarray(made if made.ndim else made[None])


def trace(package: str | Path | Package, graph: Graph, example: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors of the captured graph that the program still has, under their own names, a public one, or as their
    float16 cast, by the reference executor."""
    executor = Executor(package)
    own = {name: inner for inner, name in executor.package.public.items()}
    got = executor.trace({own.get(name, name): edge(array) for name, array in example.items()})
    public = {name: own.get(public, public) for public, name in graph.outputs.items()}
    found = {}
    for name in graph.producers:
        names = [n for n in (name, public.get(name)) if n is not None]
        inner = next((n for one in names for n in (f"{one}_cast_fp16", one) if n in got), None)
        if inner is not None:
            found[name] = got[inner]
    return found


def remarks(path: Path) -> list[str]:
    """Which operations of a package aren't expected on the Neural Engine, in lines."""
    rows = neural_engine.report(path)
    off = sum(row.count for row in rows if row.verdict != "unknown")
    total = sum(count for op, count in Executor(path).op_counts().items() if op != "const")
    lines = [f"not expected on the Neural Engine: {off} of {total} operations"]
    return lines + [f"  {row.op} ×{row.count}: {row.reason}" for row in rows]
