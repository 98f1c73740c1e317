"""The results of an evaluation, read from ``OUT``; whatever an evaluation left out is simply not there."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TypeVar

from wotd_mlx.io.json import read_json
from wotd_mlx.io.safetensors import DIGEST, read_metadata
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import HINT, Benchmarks, Files, Retrieval, Row, Validation
from wotd_mlx.lvm.store import ModelFolder, trained_models
from wotd_mlx.lvm.training.history import Epoch
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

T = TypeVar("T", Retrieval, Benchmarks)

SPLITS = {"valid": "validation articles", "test": "test articles", "ood": "out-of-domain text"}
EXCLUSIONS = {
    "context": "the whole context left out of the candidates",
    "newest5": "only the newest five sentences left out",
}
TOP = (1, 5, 10, 20)
QUALITY = (
    "validation.valid.cosine",
    "retrieval.valid.context.top1",
    "retrieval.valid.context.top5",
    "retrieval.valid.context.top20",
)
"""The four figures in which a model has to beat every baseline; paths for :meth:`Results.number`."""


@dataclass(frozen=True)
class Results:
    """What ``OUT`` holds.

    Args:
        validation, retrieval, benchmarks: the three files; None where one is not there.
        histories: model -> epochs of its training.
        presets: model -> the size it was built at.
        finished: models whose training has ended, evaluated or not.
    """

    validation: Validation
    retrieval: Retrieval | None = None
    benchmarks: Benchmarks | None = None
    histories: Mapping[str, Sequence[Epoch]] = field(default_factory=dict)
    presets: Mapping[str, str] = field(default_factory=dict)
    finished: Sequence[str] = ()

    @property
    def baselines(self) -> list[str]:
        """Rows that nothing was trained for, in the order of the file."""
        return [name for name, row in self.validation.rows.items() if row.kind == "baseline"]

    @property
    def models(self) -> list[str]:
        """Models that were evaluated, in the order of their paper sizes, unknown names last."""
        found = [name for name, row in self.validation.rows.items() if row.kind == "model"]
        return sorted(found, key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))

    @property
    def missing(self) -> str:
        """Which predictors have no row, and why; empty where all have one."""
        absent = [name for name in NAMES if name not in self.validation.rows]
        groups = {
            "trained, not evaluated": [name for name in absent if name in self.finished],
            "not trained": [name for name in absent if name not in self.finished],
        }
        return "; ".join(f"{why}: {', '.join(names)}" for why, names in groups.items() if names)

    def number(self, name: str, path: str) -> float:
        """A figure of a row by its file and fields, such as ``validation.valid.cosine``; NaN where there is none."""
        source, *fields = path.split(".")
        file = getattr(self, source)
        found = reduce(lambda at, key: getattr(at, key, None), fields, file.rows.get(name) if file else None)
        return math.nan if found is None else float(found)

    def best_baseline(self, path: str) -> float:
        """The highest figure of a baseline; NaN where none has it."""
        values = [self.number(name, path) for name in self.baselines]
        return max((v for v in values if math.isfinite(v)), default=math.nan)

    def above_baselines(self) -> list[str]:
        """Models above every baseline in all four figures of :data:`QUALITY` at once."""
        # Nothing is above NaN.
        return [name for name in self.models if all(self.number(name, p) > self.best_baseline(p) for p in QUALITY)]


def read_results(out: Path) -> Results:
    """Read ``OUT/evaluation/*.json`` and the histories of the models that were evaluated.

    Of a model that was trained again since then nothing but its figures is shown, and the log says so.

    Raises:
        MissingError: nothing was evaluated here.
        WotdError: a file is damaged, or of another evaluation.
    """
    files = Files(out)
    validation = read_json(files.validation, Validation, HINT)
    retrieval, benchmarks = _read(files, files.retrieval, Retrieval), _read(files, files.benchmarks, Benchmarks)
    same = [ModelFolder(out, name) for name, row in validation.rows.items() if name in NAMES and _same(out, name, row)]
    histories = {folder.path.name: folder.epochs() for folder in same}
    presets = {folder.path.name: folder.settings().preset for folder in same}
    return Results(validation, retrieval, benchmarks, histories, presets, trained_models(out))


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
