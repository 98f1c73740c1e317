"""``manifest.json``: what the packages take and give, what its codes mean, how well each was found to agree."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from wotd_mlx.codes.names import coordinate_names
from wotd_mlx.embed.models import find_model
from wotd_mlx.encoder import SemanticEncoder
from wotd_mlx.export.packages import Exported

FORMAT = 2
"""2: words and pieces stand in ``words.wotd``; 1 had them in the manifest and three files beside it."""


def manifest(coder: SemanticEncoder, kind: str, name: str, packages: Sequence[Exported]) -> dict[str, Any]:
    """The manifest of a bundle of this kind and name, its files' hashes aside."""
    model = find_model(coder.config.embedding)
    return {
        **common(kind, name, packages),
        "codes": {
            "kind": coder.config.codes.kind,
            "levels": list(coder.levels),
            "coordinates": coordinates(coder),
        },
        "embedding": {"id": model.id, "dimensions": coder.dims, "licence": model.licence},
    }


def common(kind: str, name: str, packages: Sequence[Exported]) -> dict[str, Any]:
    """What is said of every bundle: of its first package, as readers expect that know of one alone, and of each."""
    rows = [made.described() for made in packages]
    first = rows[0]
    return {
        "format": FORMAT,
        "kind": kind,
        "name": name,
        "package": first["package"],
        "made_by": f"wotd-mlx {version('wotd-mlx')}",
        "inputs": first["inputs"],
        "outputs": first["outputs"],
        "minimum_deployment_target": first["minimum_deployment_target"],
        "licence": "MIT",
        "verification": first["verification"],
        "neural_engine": first["neural_engine"],
        "packages": rows,
    }


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
