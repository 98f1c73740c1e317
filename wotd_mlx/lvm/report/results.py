"""The figures of an evaluation, read from ``OUT``; whatever an evaluation left out is simply not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.store import ModelFolder, read_json
from wotd_mlx.schemas import WotdError

Raw = Mapping[str, Any]
Place = tuple[str, ...]
"""Of a figure: ``validation``, ``retrieval`` or ``inference``, then the keys in a row; see :meth:`Results.number`."""

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

    data: Raw
    context: int
    validation: Mapping[str, Raw]
    retrieval: Mapping[str, Raw] = field(default_factory=dict)
    inference: Mapping[str, Raw] = field(default_factory=dict)
    candidates: int | None = None
    confusion: Mapping[str, Raw] = field(default_factory=dict)
    projection: Raw = field(default_factory=dict)
    machine: Raw = field(default_factory=dict)
    histories: Mapping[str, Sequence[Raw]] = field(default_factory=dict)
    presets: Mapping[str, str] = field(default_factory=dict)
    finished: tuple[str, ...] = ()

    @property
    def baselines(self) -> list[str]:
        """Rows that nothing was trained for, in the order of the file."""
        return [name for name, row in self.validation.items() if row.get("kind") == "baseline"]

    @property
    def models(self) -> list[str]:
        """Models that were evaluated, in the order of the matrix, unknown names last."""
        found = [name for name, row in self.validation.items() if row.get("kind") != "baseline"]
        return sorted(found, key=lambda name: NAMES.index(name) if name in NAMES else len(NAMES))

    @property
    def missing(self) -> list[str]:
        """Models of the matrix that have no row."""
        return [name for name in NAMES if name not in self.validation]

    def number(self, row: str, source: str, *place: str) -> float | None:
        """A figure of a row, such as ``("validation", "valid", "cosine")``; None where there is none."""
        return number(getattr(self, source).get(row), *place)

    def best_baseline(self, place: Place) -> float | None:
        """The highest figure of a baseline; None where none has it."""
        return max((v for name in self.baselines if (v := self.number(name, *place)) is not None), default=None)

    def entries(self, row: str, key: str) -> list[Raw]:
        """A list of objects in a row of the validation, such as ``by_length``; empty where there is none."""
        found = self.validation.get(row, {}).get(key)
        return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []

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


def number(raw: Any, *place: str) -> float | None:
    """The finite number at a path of keys, ``raw`` itself where there is none; None where it is anything else."""
    for key in place:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        return None
    return float(raw)


def read_results(out: Path) -> Results:
    """Read ``OUT/evaluation/*.json`` and the histories of ``OUT/models``.

    Raises:
        WotdError: nothing was evaluated here, or a file is damaged.
    """
    folder = out / "evaluation"
    validation = _read(folder / "validation_results.json", needed=True)
    rows = _mapping(validation, "rows")
    kinds = [row.get("kind") if isinstance(row, Mapping) else None for row in rows.values()]
    if not kinds or not {*kinds} <= {"baseline", "model"} or number(validation, "context") is None:
        raise WotdError(
            f"{folder / 'validation_results.json'} has no rows of kind baseline or model, or no context; "
            "evaluate again with `wotd-mlx lvm evaluate`"
        )
    retrieval = _read(folder / "retrieval_results.json")
    inference = _read(folder / "inference_benchmarks.json")
    candidates = number(retrieval, "candidates")
    folders = {path.name: ModelFolder(out, path.name) for path in sorted((out / "models").glob("*"))}
    return Results(
        data=_mapping(validation, "data"),
        context=int(validation["context"]),
        validation=rows,
        retrieval=_rows(retrieval),
        inference=_rows(inference),
        candidates=None if candidates is None else int(candidates),
        confusion={k: v for k, v in _mapping(retrieval, "confusion").items() if isinstance(v, Mapping)},
        projection=_mapping(retrieval, "projection"),
        machine=_mapping(inference, "machine"),
        histories={name: found for name, place in folders.items() if (found := _history(place))},
        presets={name: size for name, place in folders.items() if (size := _preset(place))},
        finished=tuple(name for name, place in folders.items() if place.final.exists()),
    )


def _mapping(raw: Raw, key: str) -> Raw:
    found = raw.get(key)
    return found if isinstance(found, Mapping) else {}


def _rows(raw: Raw) -> dict[str, Raw]:
    return {name: row for name, row in _mapping(raw, "rows").items() if isinstance(row, Mapping)}


def _read(path: Path, needed: bool = False) -> Raw:
    if not path.exists():
        if needed:
            raise WotdError(f"no {path}; make it with `wotd-mlx lvm evaluate`")
        return {}
    try:
        raw = read_json(path)
    except WotdError as error:
        raise WotdError(f"{path} can't be read ({error.__cause__}); evaluate again") from error
    if not isinstance(raw, Mapping):
        raise WotdError(f"{path} holds a {type(raw).__name__}, expected an object; evaluate again")
    return raw


def _history(folder: ModelFolder) -> list[Raw]:
    """Epochs of a training; empty where none are kept."""
    if not folder.history.exists():
        return []
    raw = read_json(folder.history)
    return [line for line in raw if number(line, "epoch") is not None] if isinstance(raw, list) else []


def _preset(folder: ModelFolder) -> str:
    raw = read_json(folder.config) if folder.config.exists() else {}
    return str(raw.get("preset", "")) if isinstance(raw, Mapping) else ""
