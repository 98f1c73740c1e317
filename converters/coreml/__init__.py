"""MLX functions to Core ML packages, each checked against MLX on any machine.

>>> from converters import coreml
>>> report = coreml.convert(model, {"x": mx.zeros((1, 384))}, out="model.mlpackage", precision="float16")
>>> report.psnr_db, report.max_abs_error["output"]
>>> coreml.run("model.mlpackage", {"x": numpy_array})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from warnings import warn

import converters.coreml.toolkit  # noqa: F401  quietens coremltools, so it comes before what imports it

# isort: split
from converters.coreml.capture import Example, Function, capture
from converters.coreml.errors import ConversionError, ConversionWarning, GateError, PackageError, UnsupportedOpsError
from converters.coreml.executor import load_package
from converters.coreml.gate import probed
from converters.coreml.legal import check_legal
from converters.coreml.lower import check_options, check_supported, save
from converters.coreml.passes import run_passes
from converters.coreml.ranges import check_ranges
from converters.coreml.report import Deviation, Report, enforce
from converters.coreml.verify import Seen, compare_layers, run, runner, verify
from wotd_mlx.io.files import appearing

__all__ = [
    "ConversionError",
    "ConversionWarning",
    "Deviation",
    "GateError",
    "PackageError",
    "Report",
    "UnsupportedOpsError",
    "convert",
    "run",
    "verify",
]


def convert(
    fn: Function,
    example: Example | Sequence[Example],
    out: str | Path,
    precision: str = "float32",
    target: str = "iOS17",
    force: bool = False,
    float32: Sequence[str] = (),
    layers: bool = False,
    progress: Callable[[int], None] | None = None,
    seen: Seen | None = None,
) -> Report:
    """Convert an MLX function to a Core ML package, and compare the saved package with it.

    Args:
        fn: MLX arrays in by keyword; an array, a tuple or a dict of arrays out. A module with evaluated parameters is
            one.
        example: name → array, or several such: the first one's shapes and dtypes become the package's, and all are
            verified.
        out: the package's path; it must end in ``.mlpackage``.
        precision: ``float32``, ``float16``, or float16 with compressed weights: ``int8``, ``palette6``, ``palette4``.
        target: the oldest system that must run it: ``iOS17`` (macOS 14), ``iOS18`` (macOS 15).
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
    check_options(precision, target)
    if out.suffix != ".mlpackage":
        raise ConversionError(f"out is {out}; a Core ML package's name ends in .mlpackage")
    if out.exists() and not force:
        raise ConversionError(f"{out} exists; choose another name, or force it to be overwritten")
    examples = [example] if isinstance(example, Mapping) else list(example)
    if not examples:
        raise ConversionError("there is no example; give one dict of arrays at least")
    captured = check_supported(capture(fn, examples[0]))
    graph = check_ranges(run_passes(captured))
    with appearing(out) as made:
        save(graph, made, precision, target, float32)
        package = check_legal(load_package(made))
        report = verify(package, fn, examples, progress=progress, graph=captured, seen=seen)
        unexplained, warnings = probed(runner(package), fn, captured, graph, examples, precision, float32)
        report = replace(report, unexplained=unexplained, warnings=warnings)
        refused = bool(report.faults(precision)) and not force
        if layers or refused:
            report = replace(report, layers=compare_layers(package, captured, examples[0]))
        if refused:
            enforce(report, precision)
    for told in warnings:
        warn(told, ConversionWarning, stacklevel=2)
    return replace(report, package=out)
