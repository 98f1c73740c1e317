"""How far a saved package is from the MLX function that it was made from, output by output or tensor by tensor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from converters.coreml.capture import Example, Function, capture, dtype_name, named_outputs
from converters.coreml.errors import ConversionError, PackageError
from converters.coreml.executor import Executor, Package
from converters.coreml.graph import FLOATS, Array, Graph
from converters.coreml.interpret import interpret
from converters.coreml.names import from_metadata
from converters.coreml.passes import run_passes
from converters.coreml.report import Deviation, Report, Sum
from converters.coreml.scopes import recorded

Seen = Callable[[Mapping[str, Array], Mapping[str, Array]], None]
ENGINES = ("auto", "reference", "coreml")
TOGETHER = 64
"""Examples that MLX computes before the package does: two thread pools that take turns wait for each other."""


def run(package: str | Path, inputs: Mapping[str, Any], engine: str = "auto") -> dict[str, Array]:
    """The outputs of a saved package, name → array.

    Args:
        package: a ``.mlpackage``.
        inputs: name → array of the package's own shape; booleans and wider integers become int32.
        engine: ``reference``, NumPy on any OS; ``coreml``, on macOS; ``auto``, Core ML where there is one.

    Raises:
        ConversionError: an unknown engine, or Core ML asked for where there is none.
        FileNotFoundError, NotImplementedError, PackageError: by the reference executor, as it says; the last one also
            for inputs that are missing, unknown or of another shape, all of them.
    """
    return runner(package, engine)(inputs)


def runner(package: str | Path | Package, engine: str = "auto") -> Callable[[Mapping[str, Any]], dict[str, Array]]:
    """:func:`run` for many inputs: the package is read once."""
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
    if engine not in ENGINES:
        raise ConversionError(f"engine {engine!r} is unknown; expected one of {', '.join(ENGINES)}")
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


def verify(
    package: str | Path | Package,
    fn: Function,
    example: Example | Sequence[Example],
    layers: bool = False,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
    graph: Graph | None = None,
    seen: Seen | None = None,
) -> Report:
    """Compare a saved package with ``fn`` in MLX on one example or several.

    Where ``fn`` computes in 16 bits somewhere, its floats are those of the same in float32: what MLX rounds on the way
    is no error of the package.

    Args:
        layers: compare every tensor inside too, on the first example, by the reference executor.
        progress: called with 1 after each example.
        graph: ``fn`` as it was captured, where that is at hand.
        seen: called after each example with what MLX made of it and what the package did, name → array.

    Raises:
        ConversionError, FileNotFoundError, NotImplementedError, PackageError: see :func:`run`; the last one also for
            outputs that the package lacks or has in another size.
    """
    examples = [example] if isinstance(example, Mapping) else list(example)
    if not examples:
        raise ConversionError("there is no example; give one dict of arrays at least")
    path = package.path if isinstance(package, Package) else Path(package)
    call = runner(package, engine)
    sums: dict[str, Sum] = {}
    graph = graph or capture(fn, examples[0])
    # Behind the passes: √2 or 1/7 of 16 bits in a GELU or a mean is what they are meant to be.
    wide = run_passes(graph).widened() if graph.is_low else None
    for start in range(0, len(examples), TOGETHER):
        batch = examples[start : start + TOGETHER]
        wanted = [expected(fn, inputs, wide) for inputs in batch]
        for inputs, outputs in zip(batch, wanted, strict=True):
            got = call(inputs)
            if odd := [n for n, (array, _) in outputs.items() if n not in got or got[n].size != array.size]:
                raise PackageError(f"{path}: expected the outputs {odd} of the function's sizes, got {list(got)}")
            for name, (array, is_float) in outputs.items():
                sums.setdefault(name, Sum(is_float)).add(array, got[name])
            if seen:
                seen({name: array for name, (array, _) in outputs.items()}, got)
            if progress:
                progress(1)
    inner = compare_layers(package, graph, examples[0]) if layers else []
    found = {name: s.deviation(name) for name, s in sums.items()}
    return Report(path, found, len(examples), engine_of(engine), inner)


def expected(fn: Function, inputs: Example, wide: Graph | None = None) -> dict[str, tuple[Array, bool]]:
    """What MLX makes of an example, as it would leave a package, and which outputs are floats: those of ``wide``, where
    that is given."""
    floats = _in_float32(wide, inputs) if wide else {}
    if wide and len(floats) == len(wide.outputs):
        return floats  # MLX's CPU has no 16-bit kernels for some operations
    # A module in training would change with each example, and a function may write into its arguments.
    own = {name: mx.array(array) for name, array in inputs.items()}
    with mx.stream(mx.cpu), recorded():
        made = {n: (left(array), dtype_name(array.dtype) in FLOATS) for n, array in named_outputs(fn(**own)).items()}
    return made | floats


def _in_float32(graph: Graph, inputs: Example) -> dict[str, tuple[Array, bool]]:
    """The floats that a widened graph leaves a package."""
    low = (mx.float16, mx.bfloat16)
    values = interpret(graph, {n: a.astype(mx.float32) if a.dtype in low else a for n, a in inputs.items()})
    outputs = {public: name for public, name in graph.outputs.items() if graph.tensors[name].is_float}
    return {public: (edge(values[name]), True) for public, name in outputs.items()}


def left(array: mx.array) -> Array:
    """What MLX made, to compare with what a package does: floats as float32, whole numbers as they are."""
    if dtype_name(array.dtype) in FLOATS:
        return edge(array)
    made = np.array(array)
    return made if made.ndim else made[None]


def compare_layers(package: str | Path | Package, graph: Graph, example: Example) -> list[Deviation]:
    """Every tensor of the function as it was captured that the package still has, under its own name or as its float16
    cast, against MLX: what a pass between the two does wrong shows too."""
    want = interpret(graph, example)
    executor = Executor(package)
    own = {name: inner for inner, name in executor.package.public.items()}
    got = executor.trace({own.get(name, name): edge(array) for name, array in example.items()})
    public = {name: own.get(public, public) for public, name in graph.outputs.items()}
    found = []
    for node in graph.nodes:
        for tensor in node.outputs:
            names = [n for n in (tensor.name, public.get(tensor.name)) if n is not None]
            name = next((n for inner in names for n in (f"{inner}_cast_fp16", inner) if n in got), None)
            if name is None or got[name].size != tensor.size:
                continue
            total = Sum(tensor.is_float)
            # Inside a package whole numbers are int32 of the same low bits.
            made = want[tensor.name]
            total.add(edge(made) if tensor.is_float else np.array(made).astype(np.int32), got[name])
            found.append(total.deviation(tensor.name, node.scope))
    return found
