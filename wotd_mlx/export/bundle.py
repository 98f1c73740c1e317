"""The app bundle: its packages and all that an app needs beside it, made whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wotd_mlx.config.export import ExportConfig
from wotd_mlx.embed.models import find_model, resolve
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.agreement import Agreement
from wotd_mlx.export.checks import checks
from wotd_mlx.export.dictionary import FILE as DICTIONARY
from wotd_mlx.export.dictionary import CodeBook
from wotd_mlx.export.fixtures import encoded, fixtures
from wotd_mlx.export.manifest import FORMAT, manifest
from wotd_mlx.export.packages import Exported, Fill, formats, make
from wotd_mlx.export.pieces import read_pieces
from wotd_mlx.export.table import FILE, Table
from wotd_mlx.export.targets import Target, find_target
from wotd_mlx.io.files import appearing
from wotd_mlx.schemas import WotdError


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

    def fill(folder: Path, packages: Sequence[Exported]) -> None:
        _fill(folder, coder, found, config, packages, manifest(coder, name, found.package, packages))

    dictionary = found.dictionary
    agreement = None if dictionary is None else lambda: Agreement(coder.model, dictionary)
    return packed(found, out, config, fill, agreement)


def refuse_existing(out: Path, config: ExportConfig) -> None:
    """Raise WotdError where there is something at ``out`` that isn't to be replaced, or where what makes such packages
    isn't installed: before a model is read."""
    if out.exists() and not config.force:
        raise WotdError(f"{out} exists; choose another --out, or replace it with --force")
    formats(config)


def packed(
    found: Target,
    out: Path,
    config: ExportConfig,
    fill: Fill,
    agreement: Callable[[], Agreement] | None = None,
) -> Exported:
    """Make the folder ``out`` with a target's verified packages and what ``fill`` puts beside them: whole, or not at
    all. ``agreement`` makes one anew for each package.

    Raises:
        WotdError: the target can't be converted, or it is below the gate of its precision.
    """
    with appearing(out) as folder:
        folder.mkdir()
        kinds = formats(config)
        packages = [make(found, folder, kind, config, agreement() if agreement else None) for kind in kinds]
        fill(folder, packages)
    first, *others = (replace(made, package=out / made.package.name) for made in packages)
    return replace(first, coreai=others[0]) if others else first


def _fill(
    folder: Path,
    coder: SemanticEncoder,
    found: Target,
    config: ExportConfig,
    packages: Sequence[Exported],
    manifest: dict[str, Any],
) -> None:
    """All that lies beside the packages."""
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
        if any(made.format == "coreai" for made in packages):
            manifest["checks"] = checks(cases["cases"], packages, found.dictionary)
    write_json(folder / "fixtures.json", cases)
    seal(folder, manifest, config)


def seal(folder: Path, manifest: dict[str, Any], config: ExportConfig) -> None:
    """Write the manifest, with how the packages were made and the hash of each file beside it."""
    hashes = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "WOTDKit" not in file.parts
    }
    manifest |= {"precision": config.precision, "sha256": hashes}
    for row in manifest["packages"]:
        row["sha256"] = {name: found for name, found in hashes.items() if name.startswith(f"{row['package']}/")}
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
