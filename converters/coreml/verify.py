"""How far a saved package is from the MLX function that it was made from, output by output or tensor by tensor."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from converters.coreml.capture import Example, Function, capture, dtype_name, named_outputs
from converters.coreml.errors import ConversionError, GateError, PackageError
from converters.coreml.executor import Executor
from converters.coreml.graph import FLOATS, Array, Graph
from converters.coreml.interpret import interpret
from converters.coreml.names import from_metadata
from converters.coreml.passes import run_passes
from converters.coreml.scopes import recorded

GATES_DB = {"float32": 90.0, "float16": 50.0, "int8": 35.0, "palette6": 35.0, "palette4": 35.0}
"""PSNR below which an export is refused, by precision."""
CODES_EQUAL = 0.995
"""Share of rows of an integer output that must be equal."""
ENGINES = ("auto", "reference", "coreml")
TOGETHER = 64
"""Examples that MLX computes before the package does: two thread pools that take turns wait for each other."""


@dataclass(frozen=True)
class Deviation:
    """One output, or one tensor inside, against MLX over all examples."""

    name: str
    max_abs_error: float
    psnr_db: float
    """20 log10(largest |value| of MLX / root mean square error); infinite where all numbers are equal."""
    equal: float
    """The share of rows (along the last axis) in which all numbers are equal."""
    is_float: bool
    scope: str = ""


class PerOutput(float):
    """The worst of all outputs as a number; one output's own by its name: ``report.psnr_db["vector"]``."""

    by_name: Mapping[str, float]

    def __new__(cls, by_name: Mapping[str, float], worst: float) -> PerOutput:
        made = super().__new__(cls, worst)
        made.by_name = dict(by_name)
        return made

    def __getitem__(self, name: str) -> float:
        return self.by_name[name]

    def keys(self) -> Iterable[str]:
        """The outputs' names."""
        return self.by_name.keys()

    def values(self) -> Iterable[float]:
        """What each output has, in the order of :meth:`keys`."""
        return self.by_name.values()

    def items(self) -> Iterable[tuple[str, float]]:
        """(name, value) of every output."""
        return self.by_name.items()


@dataclass(frozen=True)
class Report:
    """What a verification found; ``layers`` holds every tensor inside where it was asked for, in order."""

    package: Path
    outputs: Mapping[str, Deviation]
    examples: int
    engine: str
    layers: Sequence[Deviation] = field(default=())

    @property
    def max_abs_error(self) -> PerOutput:
        """The largest |package − MLX|, worst of all outputs and by name."""
        found = {name: d.max_abs_error for name, d in self.outputs.items()}
        return PerOutput(found, max(found.values()))

    @property
    def psnr_db(self) -> PerOutput:
        """Decibels; the worst of the float outputs, or of all where there is none, and by name."""
        found = {name: d.psnr_db for name, d in self.outputs.items()}
        floats = [d.psnr_db for d in self.outputs.values() if d.is_float]
        return PerOutput(found, min(floats or found.values()))

    @property
    def codes_equal(self) -> float:
        """The share of equal rows, worst of the integer and boolean outputs; 1 where there is none."""
        return min((d.equal for d in self.outputs.values() if not d.is_float), default=1.0)

    @property
    def worst_layer(self) -> Deviation | None:
        """The float tensor inside with the lowest PSNR."""
        return min((d for d in self.layers if d.is_float), key=lambda d: d.psnr_db, default=None)

    def faults(self, precision: str) -> list[str]:
        """What lies below the gate of ``precision``, a sentence each."""
        gate = GATES_DB[precision]
        found = [
            f"{d.name} has {d.psnr_db:.1f} dB; {precision} asks for {gate:.0f}"
            for d in self.outputs.values()
            if d.is_float and not d.psnr_db >= gate
        ]
        return found + [
            f"{d.name} is equal in {d.equal:.2%} of rows; expected more than {CODES_EQUAL:.1%}"
            for d in self.outputs.values()
            if not d.is_float and not d.equal > CODES_EQUAL
        ]

    def as_json(self) -> dict[str, Any]:
        """For a manifest: an infinite PSNR is null, since JSON has no infinity."""
        rows = {
            name: {
                "max_abs_error": d.max_abs_error,
                "psnr_db": round(d.psnr_db, 2) if math.isfinite(d.psnr_db) else None,
                "equal": d.equal,
            }
            for name, d in self.outputs.items()
        }
        return {"engine": self.engine, "examples": self.examples, "outputs": rows}


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


def runner(package: str | Path, engine: str = "auto") -> Callable[[Mapping[str, Any]], dict[str, Array]]:
    """:func:`run` for many inputs: the package is read once."""
    call: Callable[[Mapping[str, Array]], Mapping[str, Any]]
    if engine_of(engine) == "reference":
        call = executor = Executor(package)
        public, unsigned = executor.package.public, executor.package.unsigned
    else:
        import coremltools as ct

        # On the CPU, where float32 is float32; how the other units differ is for benchmarks to tell.
        model = ct.models.MLModel(str(package), compute_units=ct.ComputeUnit.CPU_ONLY)
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
    package: str | Path,
    fn: Function,
    example: Example | Sequence[Example],
    layers: bool = False,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
    graph: Graph | None = None,
) -> Report:
    """Compare a saved package with ``fn`` in MLX on one example or several.

    Where ``fn`` computes in 16 bits somewhere, its floats are those of the same in float32: what MLX rounds on the way
    is no error of the package.

    Args:
        layers: compare every tensor inside too, on the first example, by the reference executor.
        progress: called with 1 after each example.
        graph: ``fn`` as it was captured, after the passes, where that is at hand.

    Raises:
        ConversionError, FileNotFoundError, NotImplementedError, PackageError: see :func:`run`; the last one also for
            outputs that the package lacks or has in another size.
    """
    examples = [example] if isinstance(example, Mapping) else list(example)
    if not examples:
        raise ConversionError("there is no example to verify with; give one dict of arrays at least")
    call = runner(package, engine)
    sums: dict[str, _Sum] = {}
    graph = graph or run_passes(capture(fn, examples[0]))
    wide = graph.widened() if graph.is_low else None
    for start in range(0, len(examples), TOGETHER):
        batch = examples[start : start + TOGETHER]
        wanted = [_expected(fn, inputs) | (_in_float32(wide, inputs) if wide else {}) for inputs in batch]
        for inputs, expected in zip(batch, wanted, strict=True):
            got = call(inputs)
            if odd := [n for n, (array, _) in expected.items() if n not in got or got[n].size != array.size]:
                raise PackageError(f"{package}: expected the outputs {odd} of the function's sizes, got {list(got)}")
            for name, (array, is_float) in expected.items():
                sums.setdefault(name, _Sum(is_float)).add(array, got[name])
            if progress:
                progress(1)
    inner = compare_layers(Path(package), graph, examples[0]) if layers else []
    outputs = {name: s.deviation(name) for name, s in sums.items()}
    return Report(Path(package), outputs, len(examples), engine_of(engine), inner)


def _expected(fn: Function, inputs: Example) -> dict[str, tuple[Array, bool]]:
    """What MLX makes of an example, as it would leave a package, and which outputs are floats."""
    # A module in training would change with each example.
    with mx.stream(mx.cpu), recorded():
        return {n: (left(array), dtype_name(array.dtype) in FLOATS) for n, array in named_outputs(fn(**inputs)).items()}


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


@dataclass
class _Sum:
    """Errors of one tensor, added up over examples."""

    is_float: bool
    peak: float = 0.0
    worst: float = 0.0
    squares: float = 0.0
    count: int = 0
    rows: int = 0
    equal: int = 0

    def add(self, want: Array, got: Array) -> None:
        want, got = want.astype(np.float64), got.astype(np.float64).reshape(want.shape)
        # Infinities that agree are no error; those that don't are an infinite one.
        error = np.subtract(want, got, where=want != got, out=np.zeros_like(want))
        self.peak = max(self.peak, float(np.abs(want, where=np.isfinite(want), out=np.zeros_like(want)).max(initial=0)))
        self.worst = float(np.maximum(self.worst, np.abs(error).max(initial=0)))
        self.squares += float((error**2).sum())
        self.count += want.size
        same = (want == got).all(axis=-1)
        self.rows += same.size
        self.equal += int(same.sum())

    def deviation(self, name: str, scope: str = "") -> Deviation:
        noise = math.sqrt(self.squares / max(self.count, 1)) if not math.isnan(self.squares) else math.nan
        # Where MLX has zeros alone, noise is measured by 1.
        db = (
            math.inf
            if noise == 0
            else 20 * math.log10((self.peak or 1.0) / noise)
            if math.isfinite(noise)
            else -math.inf
        )
        worst = self.worst if not math.isnan(self.worst) else math.inf
        return Deviation(name, worst, db, self.equal / max(self.rows, 1), self.is_float, scope)


def compare_layers(package: Path, graph: Graph, example: Example) -> list[Deviation]:
    """Every tensor of the graph that the package still has, under its own name or as its float16 cast, against MLX."""
    want = interpret(graph, example)
    executor = Executor(package)
    own = {name: inner for inner, name in executor.package.public.items()}
    got = executor.trace({own.get(name, name): edge(array) for name, array in example.items()})
    found = []
    for node in graph.nodes:
        for tensor in node.outputs:
            name = next((n for n in (f"{tensor.name}_cast_fp16", tensor.name) if n in got), None)
            if name is None:
                continue
            total = _Sum(tensor.is_float)
            # Inside a package whole numbers are int32 of the same low bits.
            made = want[tensor.name]
            total.add(edge(made) if tensor.is_float else np.array(made).astype(np.int32), got[name])
            found.append(total.deviation(tensor.name, node.scope))
    return found


def enforce(report: Report, precision: str) -> None:
    """Raise where a report lies below the gate of its precision, the worst layer named.

    Raises:
        GateError: what is below, by how much, and where it starts.
    """
    if not (faults := report.faults(precision)):
        return
    worst = report.worst_layer
    where = f" The worst tensor inside is {worst.name} ({worst.psnr_db:.1f} dB" if worst else ""
    where += f", in {worst.scope})." if worst and worst.scope else ")." if worst else ""
    raise GateError(
        f"the package is too far from its source: {'; '.join(faults)}.{where} Use a higher precision, or force it"
    )
