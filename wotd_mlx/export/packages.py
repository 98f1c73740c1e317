"""A target's packages: one for Core ML, one for Core AI or both, each converted, verified and described."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from converters import coreml
from converters.backend import MODULES, Backend, backend_of
from converters.coreml import neural_engine
from converters.coreml.executor import load_package
from wotd_mlx.config.export import BOTH, FORMATS, ExportConfig
from wotd_mlx.export.agreement import Agreement
from wotd_mlx.export.targets import Example, Target
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

SUFFIXES = dict(zip(FORMATS, MODULES, strict=False))
"""``--format`` → how such a package's name ends."""
NAMES = {"coreml": "Core ML", "coreai": "Core AI"}
SLOW = {("coreai", "int8"): 64}
"""Examples that are enough where a package computes slowly here: in int8 Core AI's runtime takes a second and more for
MiniLM, and half an hour for 1,000 words."""
QUICK = ("encoder", "decoder")
"""Targets of a few small layers, compared on all examples whatever they are made of."""

Ports = list[dict[str, Any]]


@dataclass(frozen=True)
class Exported:
    """What an export made and how well it agrees with its source."""

    package: Path
    bytes: int
    report: coreml.Report
    operations: int
    off_engine: list[neural_engine.Row]
    """Operations that the Neural Engine is not expected to take, with the public source for that; of Core AI nothing
    public is known, so there is none."""
    checked: str = "words"
    """What it was compared on."""
    format: str = "coreml"
    target: str = "iOS17"
    """The oldest system that runs it."""
    inputs: Ports = field(default_factory=list)
    outputs: Ports = field(default_factory=list)
    left_out: int = 0
    """Examples that it was not compared on, because it computes slowly here."""
    coreai: Exported | None = None
    """The Core AI package beside this one, where both were asked for."""

    def described(self) -> dict[str, Any]:
        """What a manifest says of this package, its files' hashes aside."""
        report = self.report
        return {
            "format": self.format,
            "package": self.package.name,
            "bytes": self.bytes,
            "minimum_deployment_target": self.target,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "verification": {
                **report.as_json(),
                "examples_left_out": self.left_out,
                "codes_equal": report.codes_equal,
            },
            "neural_engine": [asdict(row) for row in self.off_engine],
        }


def formats(config: ExportConfig) -> list[str]:
    """The kinds of packages that are asked for, the manifest's own first.

    Raises:
        WotdError: what makes one isn't installed; told before anything is converted.
    """
    asked = [name for name in SUFFIXES if config.format in (name, BOTH)]
    for name in asked:
        _backend(name)
    return asked


def make(found: Target, folder: Path, kind: str, config: ExportConfig, agreement: Agreement | None = None) -> Exported:
    """Convert a target to one kind of package in ``folder``, and compare it with its source.

    Raises:
        WotdError: the target can't be converted, or it is below the gate of its precision.
    """
    examples = _enough(found.examples, None if found.name in QUICK else SLOW.get((kind, config.precision)))
    if left_out := len(found.examples) - len(examples):
        told = "comparing the %s package on %d of %d %s: in %s it computes slowly here"
        log.warning(told, NAMES[kind], len(examples), len(found.examples), found.unit, config.precision)
    package = folder / (found.package + SUFFIXES[kind])
    target = config.target if kind == "coreml" else _backend(kind).TARGETS[0]
    report = _convert(found, examples, package, kind, target, config, agreement)
    size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    describe = _of_coreml if kind == "coreml" else _of_coreai
    return Exported(
        package,
        size,
        report,
        checked=found.unit,
        format=kind,
        target=target,
        left_out=left_out,
        **describe(package, examples[0]),
    )


def _backend(kind: str) -> Backend:
    try:
        return backend_of(f"package{SUFFIXES[kind]}")
    except coreml.ConversionError as error:
        raise WotdError(str(error)) from error


def _enough(examples: Sequence[Example], most: int | None) -> list[Example]:
    """Up to ``most`` of the examples, evenly chosen."""
    if most is None:
        return list(examples)
    rows = np.unique(np.linspace(0, len(examples) - 1, most).round().astype(int))
    return [examples[row] for row in rows]


def _convert(
    found: Target,
    examples: Sequence[Example],
    package: Path,
    kind: str,
    target: str,
    config: ExportConfig,
    agreement: Agreement | None,
) -> coreml.Report:
    told = f"checking {NAMES[kind]} on {len(examples):,} {found.unit}"
    with progress(told, len(examples)) as advance, catch_warnings():
        simplefilter("ignore", coreml.ConversionWarning)  # they are in the report
        try:
            report = coreml.convert(
                found.function,
                examples,
                package,
                config.precision,
                target,
                force=config.force,
                float32=found.float32,
                layers=config.layers,
                progress=advance,
                seen=agreement.seen if agreement else None,
            )
            return agreement.added(report, config.precision, config.force) if agreement else report
        except coreml.GateError as error:
            raise WotdError(f"{NAMES[kind]}: {error}: --precision float32, or --force") from error
        except coreml.ConversionError as error:
            raise WotdError(str(error)) from error


def _of_coreml(package: Path, _: Example) -> dict[str, Any]:
    saved = load_package(package)
    return {
        "operations": sum(operation.type != "const" for operation in saved.operations),
        "off_engine": neural_engine.report(saved),
        "inputs": [_port(v.name, v.shape or (), v.dtype.replace("fp", "float")) for v in saved.inputs],
        "outputs": [_port(v.name, v.shape or (), v.dtype.replace("fp", "float")) for v in saved.outputs],
    }


def _of_coreai(package: Path, example: Example) -> dict[str, Any]:
    from converters.coreai.runtime import load, runner

    saved = load(package)
    made = runner(saved)(example)
    described = {
        "operations": sum(saved.operations.values()),
        "off_engine": [],
        "inputs": [_port(name, shape, dtype) for name, (shape, dtype) in saved.inputs.items()],
        "outputs": [_port(name, made[name].shape, str(made[name].dtype)) for name in saved.outputs],
    }
    saved.close()
    return described


def _port(name: str, shape: Sequence[int | None], dtype: str) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": dtype}


Fill = Callable[[Path, Sequence[Exported]], None]
"""Writes what lies beside the packages into their folder."""
