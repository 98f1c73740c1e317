"""All trained models of a folder and what they have to beat, on the same targets with the same context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlx import nn

from wotd_mlx.arrays import Embeddings
from wotd_mlx.io.json import write_json
from wotd_mlx.io.lock import locked
from wotd_mlx.io.safetensors import DIGEST, read_metadata
from wotd_mlx.lvm import architecture
from wotd_mlx.lvm.data.embeddings import check
from wotd_mlx.lvm.data.sentences import Rows, Sentences, Split, split_by_article
from wotd_mlx.lvm.evaluation import retrieval, scores
from wotd_mlx.lvm.evaluation.baselines import baselines
from wotd_mlx.lvm.evaluation.failures import worst
from wotd_mlx.lvm.evaluation.latency import benchmark, machine
from wotd_mlx.lvm.evaluation.predict import BEFORE, Forecast, predict
from wotd_mlx.lvm.evaluation.projection import project, shown_targets
from wotd_mlx.lvm.evaluation.results import HINT, Files
from wotd_mlx.lvm.store import ModelFolder, Settings, trained_models
from wotd_mlx.progress import progress
from wotd_mlx.schemas import MissingError, WotdError

TRAINING_SAMPLE = 4000
"""Training targets, drawn once, on which the gap between training and validation is measured."""
STARTING_POINT = "scalars"
"""The row of what was fitted before training, to which the models add."""

Advance = Callable[[int], None]


class Part(NamedTuple):
    """Targets of one kind, and the sentences that they are among."""

    sentences: Sentences
    embeddings: Embeddings
    targets: Rows


def evaluate(
    out: Path,
    names: Sequence[str],
    data: Sentences,
    embeddings: Embeddings,
    ood: tuple[Sentences, Embeddings] | None = None,
    *,
    ood_file: str | None = None,
    context: int | None = None,
    split: Split | None = None,
    digest: str | None = None,
    seconds: float = 2.0,
) -> Files:
    """Measure the models under ``out`` beside the baselines, and write the three JSON files.

    Args:
        names: models, in the order of the tables; empty for all whose training has ended.
        data: the N sentences that they were trained on.
        embeddings: (N, D), theirs.
        ood: sentences of another kind and their embeddings; each is ranked among these alone.
        ood_file: what the results call them.
        context: embeddings that every row of the tables sees; by default the most that a model was trained with.
        split: the parts of the articles; by default they are dealt as the models' settings say.
        digest: of the data, to be that of each training; not compared where it isn't given.
        seconds: about how long each timing of a model may take.

    Raises:
        MissingError: no model.
        BusyError: another evaluation writes to the folder.
        WotdError: an unknown model; models of different data, splits or embeddings; another D than theirs; embeddings
            that aren't finite; a context longer than any article; a part without a target; a damaged file.
    """
    settings = agreed(out, list(names) or trained_models(out), digest, own_split=split is not None)
    names = list(settings)
    common = settings[names[0]]
    _same_width(settings, embeddings.shape[-1])
    check(embeddings, len(data), "the sentences' embeddings")
    context = _context(context or max(s.recipe.context for s in settings.values()), data)
    split = split or split_by_article(data, common.valid, common.test)
    parts = _parts(data, embeddings, split, ood)
    similarity = scores.similarity_to_training(embeddings, parts["valid"].targets, data.rows(split.train))

    described = {
        "file": common.data,
        "sentences": len(data),
        "articles": data.articles,
        "embedding": common.embedding,
        "dims": embeddings.shape[1],
        "split": {"train": len(split.train), "valid": len(split.valid), "test": len(split.test)},
        # A file's name may be bytes that are no text.
        "ood": (ood_file or "other text").encode(errors="replace").decode() if ood else None,
    }
    files = Files(out)
    with locked(files.folder):
        fitted = baselines(data, embeddings, split.train, context)
        if base := _starting_point(out, settings, context):
            fitted[STARTING_POINT] = base
        table = _Table(parts, similarity, context, len(names))
        with progress("evaluating", len(fitted) + 2 * len(names) + 1) as advance:
            for name, forecast in fitted.items():
                table.add(name, forecast)
                advance(1)
            for name in names:
                table.add_model(out, name, seconds, advance)
            projection = table.projection()
            advance(1)
        ranked = {"candidates": len(data), "ood_candidates": len(ood[0]) if ood else None, "rows": table.retrieval}
        write_json(files.validation, {"data": described, "context": context, "rows": table.validation})
        same = {"validation": files.digest()}
        write_json(files.retrieval, {**same, **ranked, "confusion": table.confusion, "projection": projection})
        write_json(files.benchmarks, {**same, "machine": machine(), "context": context, "rows": table.benchmarks})
    return files


def agreed(
    out: Path, names: Sequence[str], digest: str | None = None, *, own_split: bool = False
) -> dict[str, Settings]:
    """Name -> settings of models that can stand in one table; cheap, so it may be asked before anything is embedded.

    Args:
        digest: of the data, to be that of each training; not compared where it isn't given.
        own_split: the models' splits aren't used, and may differ.

    Raises:
        MissingError: no model.
        WotdError: an unknown one; models of different data, splits or embeddings.
    """
    for name in names:
        architecture(name)
    settings = {name: ModelFolder(out, name).settings() for name in names}
    if not settings:
        raise MissingError(f"no trained model under {out / 'models'}; make one with `wotd-mlx lvm train gru`")
    shared: dict[str, dict[str, Any]] = {
        name: {"data (digest)": s.digest, "embedding": s.embedding} for name, s in settings.items()
    }
    if not own_split:
        for name, s in settings.items():
            shared[name] |= {"valid": s.valid, "test": s.test}
    first = next(iter(settings))
    for name, own in shared.items():
        if different := [key for key, value in own.items() if value != shared[first][key]]:
            pairs = ", ".join(f"{key} {own[key]!r} and {shared[first][key]!r}" for key in different)
            raise WotdError(
                f"{name} and {first} were trained differently: {pairs}; evaluate them apart, or train one of them again"
            )
    if digest is not None and digest != settings[first].digest:
        raise WotdError(
            f"the data is not what the models under {out} were trained on (digest {digest}, expected "
            f"{settings[first].digest}): validation articles may have been trained on; give {settings[first].data}"
        )
    return settings


class _Table:
    """The rows so far, in the form of the three files."""

    def __init__(self, parts: Mapping[str, Part], similarity: scores.Numbers, context: int, models: int):
        self.parts, self.similarity, self.context = parts, similarity, context
        self.validation: dict[str, Any] = {}
        self.retrieval: dict[str, Any] = {}
        self.confusion: dict[str, Any] = {}
        self.benchmarks: dict[str, Any] = {}
        self._shown = shown_targets(len(parts["valid"].targets), models)
        self._projected: dict[str, Embeddings] = {}

    def add(self, name: str, forecast: Forecast, about: Mapping[str, Any] | None = None) -> None:
        """Measure a baseline, or a model where something is said ``about`` it."""
        row: dict[str, Any] = {"kind": "baseline" if about is None else "model", "ood": None}
        self.retrieval[name] = {}
        for key, part in self.parts.items():
            predictions = forecast(*part)
            figures = scores.measure(predictions, part.embeddings, part.targets)
            row[key] = scores.summary(figures)
            if key == "train":
                continue
            ranks = retrieval.rank(predictions, part.sentences, part.embeddings, part.targets, self.context)
            self.retrieval[name][key] = {
                "context": retrieval.summary(ranks.context),
                "newest5": retrieval.summary(ranks.newest),
            }
            if key == "valid" and about is not None:
                row |= {**about, **self._closer(figures, ranks, part)}
                self.confusion[name] = self._confusion(ranks, part)
                self._projected[name] = predictions[self._shown]
        row["gap"] = round(row["valid"]["mse"] - row["train"]["mse"], 9)
        self.validation[name] = row

    def add_model(self, out: Path, name: str, seconds: float, advance: Advance) -> None:
        """Measure a trained model, then how fast it is."""
        folder = ModelFolder(out, name)
        # One model at a time: its arrays are gone before the next one's come.
        model, settings = folder.load()
        size = {"parameters": model.predictor.size, "bytes": folder.best.stat().st_size}
        about = {"weights": read_metadata(folder.best, HINT)[DIGEST], **size, **_trained(folder)}
        self.add(name, _forecast(model, self.context), about)
        advance(1)
        measured = benchmark(model, settings.architecture["dims"], self.context, seconds)
        self.benchmarks[name] = {**measured, **size}
        advance(1)

    def projection(self) -> dict[str, Any] | None:
        """Targets and all models' predictions in one plane, or None."""
        part = self.parts["valid"]
        return project(part.embeddings[part.targets[self._shown]], self._projected)

    def _closer(self, figures: scores.Figures, ranks: retrieval.Ranks, part: Part) -> dict[str, Any]:
        return {
            "by_length": scores.by_length(figures, part.sentences, part.targets),
            "by_topic": scores.by_topic(figures, part.sentences, part.targets),
            "by_similarity": scores.by_similarity(figures, self.similarity),
            "failures": worst(figures, ranks, part.sentences, part.targets),
        }

    def _confusion(self, ranks: retrieval.Ranks, part: Part) -> dict[str, Any]:
        topics, article = part.sentences.topics, part.sentences.article
        wanted, got = ([topics[n] for n in article[rows]] for rows in (part.targets, ranks.nearest))
        return retrieval.confusion(wanted, got)


def _forecast(model: nn.Module, context: int) -> Forecast:
    return lambda sentences, embeddings, targets: predict(model, sentences, embeddings, targets, context)


def _starting_point(out: Path, settings: Mapping[str, Settings], context: int) -> Forecast | None:
    """What the first model that has one begins at, with nothing added; None where all models stand alone."""
    for name, own in settings.items():
        if own.recipe.base != "none":
            return _forecast(ModelFolder(out, name).load()[0].scalars, context)
    return None


def _trained(folder: ModelFolder) -> dict[str, Any]:
    """What ``training_history.json`` says."""
    history = folder.epochs()
    return {
        "epochs": len(history),
        "best_epoch": max(line.epoch for line in history if line.best),
        "seconds": round(sum(line.seconds for line in history), 3),
        "training_peak_bytes": max(line.peak_bytes for line in history),
    }


def _same_width(settings: Mapping[str, Settings], dims: int) -> None:
    for name, s in settings.items():
        if s.architecture["dims"] != dims:
            raise WotdError(
                f"{name} predicts embeddings of {s.architecture['dims']} numbers, the data's have {dims}; embed the "
                f"data with {s.embedding}, which the model was trained on"
            )


def _context(context: int, data: Sentences) -> int:
    longest = int(np.diff(data.starts).max())
    if not 1 <= context < longest:
        raise WotdError(
            f"a context of {context} embeddings; expected 1 to {longest - 1}, as the longest article has {longest} "
            "sentences"
        )
    return context


def _parts(
    data: Sentences, embeddings: Embeddings, split: Split, ood: tuple[Sentences, Embeddings] | None
) -> dict[str, Part]:
    """Targets to measure on, by the results' names for them.

    Raises:
        WotdError: one has no target, or other text whose embeddings don't fit.
    """
    training = data.rows(split.train, BEFORE)
    if len(training) > TRAINING_SAMPLE:
        training = np.sort(np.random.default_rng(0).choice(training, TRAINING_SAMPLE, replace=False))
    parts = {
        "valid": Part(data, embeddings, data.rows(split.valid, BEFORE)),
        "test": Part(data, embeddings, data.rows(split.test, BEFORE)),
        "train": Part(data, embeddings, training),
    }
    if ood:
        other, theirs = ood
        check(theirs, len(other), "the other text's embeddings")
        if theirs.shape[1] != embeddings.shape[1]:
            raise WotdError(
                f"the other text's embeddings have {theirs.shape[1]} numbers, the data's {embeddings.shape[1]}; embed "
                "both with the same model"
            )
        parts["ood"] = Part(other, theirs, other.rows(np.arange(other.articles), BEFORE))
    for key, part in parts.items():
        if not len(part.targets):
            raise WotdError(
                f"nothing to measure in part {key}: none of its articles has more than {BEFORE} sentences; "
                "give longer ones, or a larger share"
            )
    return parts
