"""The figures of an evaluation, read from ``OUT``; whatever an evaluation left out is simply not there."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from wotd_mlx.io.json import read_json
from wotd_mlx.io.safetensors import DIGEST, read_metadata
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import (
    HINT,
    Benchmarks,
    Confusion,
    Data,
    Files,
    Projection,
    RankedParts,
    Retrieval,
    Row,
    Speed,
    Validation,
)
from wotd_mlx.lvm.store import ModelFolder, trained_models
from wotd_mlx.lvm.training.progressed import Epoch
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

T = TypeVar("T", Retrieval, Benchmarks)
Place = tuple[str, ...]
"""Of a figure: ``validation``, ``retrieval`` or ``inference``, then the fields of a row; see :meth:`Results.number`."""

SPLITS = {"valid": "validation articles", "test": "test articles", "ood": "out-of-domain text"}
EXCLUSIONS = {
    "context": "the whole context left out of the candidates",
    "newest5": "only the newest five sentences left out",
}
TOP = ("top1", "top5", "top10", "top20")
QUALITY: tuple[Place, ...] = (
    ("validation", "valid", "cosine"),
    ("retrieval", "valid", "context", "top1"),
    ("retrieval", "valid", "context", "top5"),
    ("retrieval", "valid", "context", "top20"),
)
"""The four figures by which models are ranked, as places for :meth:`Results.number`."""


@dataclass(frozen=True)
class Results:
    """What ``OUT`` holds.

    Args:
        data: file, embedding, sizes and split of the data.
        context: C, vectors that a prediction is made from.
        validation, retrieval, inference: row -> its figures in the file of that name.
        candidates: N sentences among which the next one is looked for; None where unknown.
        confusion: model -> topics and matrix.
        projection: method, targets and predictions in the plane; empty where none was made.
        machine: on which speed was measured.
        histories: model -> epochs of its training.
        presets: model -> the size it was built at.
        finished: models whose training has ended, evaluated or not.
    """

    data: Data
    context: int
    validation: Mapping[str, Row]
    retrieval: Mapping[str, RankedParts] = field(default_factory=dict)
    inference: Mapping[str, Speed] = field(default_factory=dict)
    candidates: int | None = None
    confusion: Mapping[str, Confusion] = field(default_factory=dict)
    projection: Projection | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Epoch]] = field(default_factory=dict)
    presets: Mapping[str, str] = field(default_factory=dict)
    finished: Sequence[str] = ()

    @property
    def baselines(self) -> list[str]:
        """Rows that nothing was trained for, in the order of the file."""
        return [name for name, row in self.validation.items() if row.kind == "baseline"]

    @property
    def models(self) -> list[str]:
        """Models that were evaluated, in the order of the matrix, unknown names last."""
        found = [name for name, row in self.validation.items() if row.kind == "model"]
        return sorted(found, key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))

    @property
    def missing(self) -> list[str]:
        """Models of the matrix that have no row."""
        return [name for name in NAMES if name not in self.validation]

    def number(self, row: str, source: str, *place: str) -> float | None:
        """A figure of a row, such as ``("validation", "valid", "cosine")``; None where there is none."""
        found = getattr(self, source).get(row)
        for name in place:
            found = getattr(found, name, None)
        return None if found is None else float(found)

    def best_baseline(self, place: Place) -> float | None:
        """The highest figure of a baseline; None where none has it."""
        return max((v for name in self.baselines if (v := self.number(name, *place)) is not None), default=None)

    def leaders(self, count: int = 3) -> list[str]:
        """The best models by their mean rank in the four figures of :data:`QUALITY`, best first."""

        def rank(name: str) -> float:
            ranks = []
            for place in QUALITY:
                own = self.number(name, *place)
                values = [self.number(model, *place) for model in self.models]
                if any(value is not None for value in values):
                    own = -math.inf if own is None else own
                    ranks.append(sum(value is not None and value > own for value in values))
            return sum(ranks) / max(len(ranks), 1)

        return sorted(self.models, key=rank)[:count]

    def above_baselines(self) -> list[str]:
        """Models above every baseline in all four figures of :data:`QUALITY` at once."""
        bars = {place: self.best_baseline(place) for place in QUALITY}

        def above(name: str, place: Place) -> bool:
            own, bar = self.number(name, *place), bars[place]
            return own is not None and bar is not None and own > bar

        return [name for name in self.models if all(above(name, place) for place in QUALITY)]


def read_results(out: Path) -> Results:
    """Read ``OUT/evaluation/*.json`` and the histories of the models that were evaluated.

    Of a model that was trained again since then nothing but its figures is shown, and the log says so.

    Raises:
        MissingError: nothing was evaluated here.
        WotdError: a file is damaged, or of another evaluation.
    """
    files = Files(out)
    validation = read_json(files.validation, Validation, HINT)
    retrieval = _read(files, files.retrieval, Retrieval)
    inference = _read(files, files.benchmarks, Benchmarks)
    same = [ModelFolder(out, name) for name, row in validation.rows.items() if name in NAMES and _same(out, name, row)]
    return Results(
        data=validation.data,
        context=validation.context,
        validation=validation.rows,
        retrieval=retrieval.rows if retrieval else {},
        inference=inference.rows if inference else {},
        candidates=retrieval.candidates if retrieval else None,
        confusion=retrieval.confusion if retrieval else {},
        projection=retrieval.projection if retrieval else None,
        machine=inference.machine if inference else {},
        histories={folder.path.name: folder.epochs() for folder in same},
        presets={folder.path.name: folder.settings().preset for folder in same},
        finished=trained_models(out),
    )


def _read(files: Files, path: Path, kind: type[T]) -> T | None:
    """None where it isn't there."""
    if not path.exists():
        return None
    found = read_json(path, kind, HINT)
    if found.validation != files.digest():
        raise WotdError(f"{path} is of another evaluation than {files.validation.name} beside it; {HINT}")
    return found


def _same(out: Path, name: str, row: Row) -> bool:
    """Whether the weights that were measured are still there."""
    folder = ModelFolder(out, name)
    if not folder.best.exists():
        return False
    found = read_metadata(folder.best, HINT).get(DIGEST) == row.weights
    if not found:
        log.warning("%s was trained again since it was evaluated, so its curves aren't shown; evaluate it again", name)
    return found
