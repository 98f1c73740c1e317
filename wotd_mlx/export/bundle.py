"""The app bundle: a package and all that an app needs beside it, made whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from converters import coreml
from converters.coreml import neural_engine
from converters.coreml.executor import Package, load_package
from wotd_mlx.config.export import ExportConfig
from wotd_mlx.embed.models import find_model, resolve
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.agreement import Agreement
from wotd_mlx.export.dictionary import FILE as DICTIONARY
from wotd_mlx.export.dictionary import CodeBook
from wotd_mlx.export.fixtures import encoded, fixtures
from wotd_mlx.export.manifest import FORMAT, manifest
from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import FILE, Table
from wotd_mlx.export.targets import Target, find_target
from wotd_mlx.io.files import appearing
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError


@dataclass(frozen=True)
class Exported:
    """What an export made and how well it agrees with its source."""

    package: Path
    bytes: int
    report: coreml.Report
    operations: int
    off_engine: list[neural_engine.Row]
    """Operations that the Neural Engine is not expected to take, with the public source for that."""
    checked: str = "words"
    """What it was compared on."""


def export(coder: SemanticEncoder, name: str, out: Path, config: ExportConfig | None = None) -> Exported:
    """Write one target of a run, with its manifest and fixtures, into the new folder ``out``.

    Args:
        name: ``encoder`` (vector → ID), ``text-encoder`` (token ids → ID, detail, vector) or ``decoder`` (ID → vector).

    Raises:
        WotdError: ``out`` exists, the target can't be converted, or it is below the gate of its precision.
    """
    config = config or ExportConfig()
    refuse_existing(out, config)
    found = find_target(coder, name, config.length)

    def fill(folder: Path, saved: Package, report: coreml.Report, off_engine: list[neural_engine.Row]) -> None:
        _fill(folder, coder, found, config, manifest(coder, name, found.package, saved, report, off_engine))

    agreement = None if found.dictionary is None else Agreement(coder.model, found.dictionary)
    return packed(found, out, config, fill, agreement)


def refuse_existing(out: Path, config: ExportConfig) -> None:
    """Raise WotdError where there is something at ``out`` that isn't to be replaced."""
    if out.exists() and not config.force:
        raise WotdError(f"{out} exists; choose another --out, or replace it with --force")


def packed(
    found: Target,
    out: Path,
    config: ExportConfig,
    fill: Callable[[Path, Package, coreml.Report, list[neural_engine.Row]], None],
    agreement: Agreement | None = None,
) -> Exported:
    """Make the folder ``out`` with a target's verified package and what ``fill`` puts beside it: whole, or not at all.

    Raises:
        WotdError: the target can't be converted, or it is below the gate of its precision.
    """
    with appearing(out) as folder:
        folder.mkdir()
        package = folder / f"{found.package}.mlpackage"
        report = _convert(found, package, config, agreement)
        saved = load_package(package)
        off_engine = neural_engine.report(saved)
        fill(folder, saved, report, off_engine)
        size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        operations = sum(operation.type != "const" for operation in saved.operations)
    return Exported(out / package.name, size, report, operations, off_engine, found.unit)


def _convert(found: Target, package: Path, config: ExportConfig, agreement: Agreement | None) -> coreml.Report:
    with (
        progress(f"checking on {len(found.examples):,} {found.unit}", len(found.examples)) as advance,
        catch_warnings(),
    ):
        simplefilter("ignore", coreml.ConversionWarning)  # they are in the report
        try:
            report = coreml.convert(
                found.function,
                found.examples,
                package,
                config.precision,
                config.target,
                force=config.force,
                float32=found.float32,
                layers=config.layers,
                progress=advance,
                seen=agreement.seen if agreement else None,
            )
            return agreement.added(report, config.precision, config.force) if agreement else report
        except coreml.GateError as error:
            raise WotdError(f"{error}: --precision float32, or --force") from error
        except coreml.ConversionError as error:
            raise WotdError(str(error)) from error


def _fill(folder: Path, coder: SemanticEncoder, found: Target, config: ExportConfig, manifest: dict[str, Any]) -> None:
    """All that lies beside the package."""
    cases: dict[str, Any] = {"format": FORMAT}
    pieces: dict[str, int] = {}
    if found.name == "text-encoder":
        file = resolve(find_model(coder.config.embedding)) / "tokenizer.json"
        read = read_pieces(file)
        pieces = read.numbers
        shutil.copyfile(file, folder / file.name)
        manifest["tokenizer"] = {"max_length": config.length, **read.settings}
        shutil.copytree(Path(__file__).parent / "WOTDKit", folder / "WOTDKit", ignore=shutil.ignore_patterns(".*"))
        cases["max_length"] = config.length
    if found.name != "decoder":
        manifest["words"] = _write_words(coder, folder / FILE, pieces)
    if found.dictionary is not None:
        (folder / DICTIONARY).write_bytes(found.dictionary)
        manifest["dictionary"] = {"file": DICTIONARY, "entries": len(CodeBook(found.dictionary).atoms)}
    cases["cases"] = fixtures(coder, found, config.length)
    if found.name == "text-encoder":
        cases["encoded"] = encoded(coder, cases["cases"])
    write_json(folder / "fixtures.json", cases)
    seal(folder, manifest, config)


def seal(folder: Path, manifest: dict[str, Any], config: ExportConfig) -> None:
    """Write the manifest, with how the package was made and the hash of each file beside it."""
    manifest |= {"precision": config.precision, "minimum_deployment_target": config.target}
    manifest["sha256"] = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "WOTDKit" not in file.parts
    }
    write_json(folder / "manifest.json", manifest)


def _write_words(coder: SemanticEncoder, file: Path, pieces: dict[str, int]) -> dict[str, Any]:
    """All words that the run knows, with the IDs that evidence gives them, the vectors of its corpora's words, which an
    app compares with, and the tokenizer's pieces."""
    known = coder.known
    rows = list(dict.fromkeys(row for text in coder.own_ids if (row := known.row(text)) is not None))
    table = Table(known.words, known.ids, rows, known.word_rows.rows(np.array(rows, np.int64)), pieces)
    file.write_bytes(table.encoded())
    return {"file": file.name, "count": len(known), "vectors": len(rows), "dimensions": coder.dims}


def write_json(file: Path, content: Any) -> None:
    """Write one line of JSON."""
    file.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="ascii")
