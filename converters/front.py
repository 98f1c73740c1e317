"""The three calls: convert a function, run a package, compare the two. A package's suffix chooses its back end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from warnings import warn

from converters.backend import Backend, backend_of, chosen
from converters.capture import Example, Function, capture
from converters.errors import ConversionError, ConversionWarning, PackageError
from converters.gate import probed
from converters.graph import Array, Graph
from converters.interpret import interpret
from converters.passes import run_passes
from converters.report import Deviation, Report, Sum, enforce
from converters.source import expected, left
from wotd_mlx.io.files import appearing

Seen = Callable[[Mapping[str, Array], Mapping[str, Array]], None]
TOGETHER = 64
"""Examples that MLX computes before the package does: two thread pools that take turns wait for each other."""


def convert(
    fn: Function,
    example: Example | Sequence[Example],
    out: str | Path,
    precision: str = "float32",
    target: str | None = None,
    force: bool = False,
    float32: Sequence[str] = (),
    layers: bool = False,
    progress: Callable[[int], None] | None = None,
    seen: Seen | None = None,
) -> Report:
    """Convert an MLX function to a package, and compare the saved package with it.

    Args:
        fn: MLX arrays in by keyword; an array, a tuple or a dict of arrays out. A module with evaluated parameters is
            one.
        example: name → array, or several such: the first one's shapes and dtypes become the package's, and all are
            verified.
        out: the package's path; ``.mlpackage`` makes it one for Core ML, ``.aimodel`` one for Core AI.
        precision: ``float32``, ``float16``, or float16 with compressed weights: ``int8``, ``palette6``, ``palette4``.
        target: the oldest system that must run it: ``iOS17`` (macOS 14, the default) or ``iOS18`` of Core ML,
            ``iOS27`` of Core AI.
        force: overwrite ``out``, and keep a package below the gate (float32 90 dB, float16 50 dB, integers equal in
            more than 99.5 % of rows).
        float32: modules, by their path in ``fn``, that compute in float32 whatever the precision: searches in which
            near scores decide.
        layers: compare every tensor inside too, on the first example; a refusal does so anyway.
        progress: called with 1 after each example that was verified.
        seen: called after each with what MLX made of it and what the package did, name → array.

    Returns:
        The errors of each output.

    Raises:
        UnsupportedOpsError: primitives that have no lowering; all are listed.
        ConversionError: ``out`` exists, or the function, its example or the target can't be converted.
        GateError: the package is too far from its source; nothing is written.
    """
    out = Path(out)
    back = backend_of(out)
    chosen("precision", precision, back.PRECISIONS, back)
    target = chosen("target", back.TARGETS[0] if target is None else target, back.TARGETS, back)
    if out.exists() and not force:
        raise ConversionError(f"{out} exists; choose another name, or force it to be overwritten")
    examples = _examples(example)
    captured = capture(fn, examples[0])
    graph = back.lowered(captured)
    with appearing(out) as made:
        back.save(graph, made, precision, target, float32)
        package = back.load(made)
        report = _verified(back, package, made, fn, examples, "auto", progress, captured, seen)
        unexplained, warnings = probed(back.runner(package), fn, captured, graph, examples, precision, float32)
        report = replace(report, unexplained=unexplained, warnings=warnings)
        refused = bool(report.faults(precision)) and not force
        if layers or refused:
            report = replace(report, layers=compare_layers(back, package, captured, examples[0]))
        if refused:
            enforce(report, precision)
    for told in warnings:
        warn(told, ConversionWarning, stacklevel=2)
    return replace(report, package=out)


def run(package: str | Path, inputs: Mapping[str, Any], engine: str = "auto") -> dict[str, Array]:
    """The outputs of a saved package, name → array.

    Args:
        package: a ``.mlpackage`` or a ``.aimodel``.
        inputs: name → array of the package's own shape. Core ML takes float32 and int32 alone: booleans and other
            integers become int32.
        engine: of Core ML ``reference``, NumPy on any OS, or ``coreml``, on macOS; of Core AI ``coreai``. ``auto`` is
            Apple's own where there is one.

    Raises:
        ConversionError: an unknown engine, or one that this system hasn't.
        FileNotFoundError, NotImplementedError, PackageError: what the package or its inputs lack; the last one for
            inputs that are missing, unknown or of another shape, all of them.
    """
    return runner(package, engine)(inputs)


def runner(package: str | Path, engine: str = "auto") -> Callable[[Mapping[str, Any]], dict[str, Array]]:
    """:func:`run` for many inputs: the package is read once."""
    back = backend_of(package)
    return back.runner(Path(package), chosen("engine", engine, back.ENGINES, back))


def verify(
    package: str | Path,
    fn: Function,
    example: Example | Sequence[Example],
    layers: bool = False,
    engine: str = "auto",
    progress: Callable[[int], None] | None = None,
    seen: Seen | None = None,
) -> Report:
    """Compare a saved package with ``fn`` in MLX on one example or several.

    Where ``fn`` computes in 16 bits somewhere, its floats are those of the same in float32: what MLX rounds on the way
    is no error of the package.

    Args:
        layers: compare every tensor inside too, on the first example.
        progress: called with 1 after each example.
        seen: called after each example with what MLX made of it and what the package did, name → array.

    Raises:
        ConversionError, FileNotFoundError, NotImplementedError, PackageError: see :func:`run`; the last one also for
            outputs that the package lacks or has in another size.
    """
    back, path, examples = backend_of(package), Path(package), _examples(example)
    chosen("engine", engine, back.ENGINES, back)
    graph = capture(fn, examples[0])
    report = _verified(back, path, path, fn, examples, engine, progress, graph, seen)
    return replace(report, layers=compare_layers(back, path, graph, examples[0])) if layers else report


def _examples(example: Example | Sequence[Example]) -> list[Example]:
    examples = [example] if isinstance(example, Mapping) else list(example)
    if not examples:
        raise ConversionError("there is no example; give one dict of arrays at least")
    return examples


def _verified(
    back: Backend,
    package: Any,
    path: Path,
    fn: Function,
    examples: Sequence[Example],
    engine: str,
    progress: Callable[[int], None] | None,
    graph: Graph,
    seen: Seen | None,
) -> Report:
    """A package against ``fn``, whose captured graph is ``graph``."""
    call = back.runner(package, engine)
    sums: dict[str, Sum] = {}
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
    found = {name: s.deviation(name) for name, s in sums.items()}
    return Report(path, found, len(examples), back.engine_of(engine))


def compare_layers(back: Backend, package: Any, graph: Graph, example: Example) -> list[Deviation]:
    """Every tensor of the function as it was captured that the package still has against MLX: what a pass between the
    two does wrong shows too."""
    want, got = interpret(graph, example), back.trace(package, graph, example)
    found = []
    for node in graph.nodes:
        for tensor in node.outputs:
            if tensor.name not in got or got[tensor.name].size != tensor.size:
                continue
            total, array = Sum(tensor.is_float), got[tensor.name]
            made = left(want[tensor.name])
            # Inside a package whole numbers may have another width, with the same low bits.
            total.add(made if tensor.is_float else made.astype(array.dtype), array)
            found.append(total.deviation(tensor.name, node.scope))
    return found
