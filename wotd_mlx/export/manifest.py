"""``manifest.json``: what a package takes and gives, what its codes mean, how well it was found to agree."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from converters.coreml.executor import Package, Value
from converters.coreml.neural_engine import Row
from converters.report import Report
from wotd_mlx.codes.names import coordinate_names
from wotd_mlx.embed.models import find_model
from wotd_mlx.encoder import SemanticEncoder

FORMAT = 2
"""2: words and pieces stand in ``words.wotd``; 1 had them in the manifest and three files beside it."""


def manifest(
    coder: SemanticEncoder, kind: str, name: str, saved: Package, report: Report, off_engine: list[Row]
) -> dict[str, Any]:
    """The manifest of a package of this kind and name, its files' hashes aside."""
    model = find_model(coder.config.embedding)
    return {
        **common(kind, name, saved, report, off_engine),
        "codes": {
            "kind": coder.config.codes.kind,
            "levels": list(coder.levels),
            "coordinates": coordinates(coder),
        },
        "embedding": {"id": model.id, "dimensions": coder.dims, "licence": model.licence},
    }


def common(kind: str, name: str, saved: Package, report: Report, off_engine: list[Row]) -> dict[str, Any]:
    """What is said of every package."""
    return {
        "format": FORMAT,
        "kind": kind,
        "name": name,
        "package": f"{name}.mlpackage",
        "made_by": f"wotd-mlx {version('wotd-mlx')}",
        "inputs": [_described(value) for value in saved.inputs],
        "outputs": [_described(value) for value in saved.outputs],
        "licence": "MIT",
        "verification": {**report.as_json(), "codes_equal": report.codes_equal},
        "neural_engine": [asdict(row) for row in off_engine],
    }


def _described(value: Value) -> dict[str, Any]:
    return {"name": value.name, "shape": list(value.shape or ()), "dtype": value.dtype.replace("fp", "float")}


def coordinates(coder: SemanticEncoder) -> list[dict[str, Any]]:
    """Each coordinate's codes: number, name, the attribute's value that it reads as (or null), words with it; an
    address has none."""
    names = coder.names()
    order = coordinate_names(coder.levels, coder.config.tied)
    rows: dict[str, list[dict[str, Any]]] = {coordinate: [] for coordinate in order}
    for name in names:
        number = [0] * len(coder.levels)
        number[order.index(name.coordinate)] = name.code
        label = coder.labels([number])[0].get(name.coordinate)
        rows[name.coordinate].append({"code": name.code, "name": name.name, "label": label, "words": list(name.words)})
    return [{"name": coordinate, "codes": codes} for coordinate, codes in rows.items()]
