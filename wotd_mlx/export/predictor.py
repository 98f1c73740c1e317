"""A trained predictor of the next vector as Core ML, Core AI or both: packages of fixed context, parity fixtures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Embeddings
from wotd_mlx.codes.metrics import unit
from wotd_mlx.config.export import MAX_CONTEXT, ExportConfig
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.models import find_model
from wotd_mlx.export.bundle import packed, refuse_existing, seal, write_json
from wotd_mlx.export.fixtures import case
from wotd_mlx.export.manifest import FORMAT, common
from wotd_mlx.export.packages import Exported
from wotd_mlx.export.targets import Target
from wotd_mlx.kernels.choice import taking
from wotd_mlx.lvm import architecture
from wotd_mlx.lvm.data.embeddings import sentence_embeddings
from wotd_mlx.lvm.data.sentences import Rows, Sentences, read_sentences
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.store import ModelFolder, Settings
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")


CHECKED, FIXTURES, LONG = 200, 50, 16
"""Contexts that an export is compared on, and those of them that ``fixtures.json`` holds; fewer of more vectors than
:data:`LONG`, since each has C·D numbers."""
TOGETHER = 20
"""Contexts side by side in one article: they share most of their vectors, so that few sentences are embedded."""


class Predict(nn.Module):
    """x (1, C, D), oldest first -> prediction (1, D), the vector expected after the last."""

    def __init__(self, model: NextVector):
        super().__init__()
        self.model = model

    def __call__(self, x: mx.array) -> dict[str, mx.array]:
        # A CPU's path is a dozen operations where the function itself is one, which Core ML has.
        with taking("gpu"):
            return {"prediction": self.model(x)[0][:, -1]}


def export_predictor(run: Path, name: str, out: Path, config: ExportConfig | None = None) -> Exported:
    """Write a trained predictor, with its manifest and fixtures, into the new folder ``out``.

    It is compared with MLX on contexts from the data that it was trained on, or, where that can't be read any more,
    on made-up ones; the log and the manifest say which.

    Args:
        run: the folder of ``wotd-mlx lvm train``.
        name: one of the thirteen.

    Raises:
        WotdError: no such model, none trained, ``out`` exists, a context that the model can't read, or a package
            below the gate of its precision.
    """
    config = config or ExportConfig()
    refuse_existing(out, config)
    architecture(name)
    model, settings = ModelFolder(run, name).load()
    length = config.context or settings.recipe.context
    if length > MAX_CONTEXT:
        raise WotdError(f"a context of {length:,} vectors; a package of fixed size takes at most {MAX_CONTEXT:,}")
    # A model with learned positions refuses more vectors than it has; ask before contexts are made.
    mx.eval(model(mx.zeros((1, length, settings.architecture["dims"])))[0])
    contexts, source = _contexts(settings, length)
    examples = tuple({"x": mx.array(context[None])} for context in contexts)
    found = Target(f"lvm:{name}", "Predictor", Predict(model), (), (), examples, "contexts")

    def fill(folder: Path, packages: Sequence[Exported]) -> None:
        cases = [case(found, examples[row]) for row in _evenly(len(examples), _fewer(FIXTURES, length))]
        write_json(folder / "fixtures.json", {"format": FORMAT, "context": length, "cases": cases})
        about = common(found.name, found.package, packages)
        for row in (about, *about["packages"]):
            row["verification"] |= {"codes_equal": None, "contexts": source}
        seal(folder, about | _described(model, settings, length), config)

    return packed(found, out, config, fill)


def _described(model: NextVector, settings: Settings, length: int) -> dict[str, Any]:
    """What only a predictor's manifest says; it has no codes, no tokenizer and no Swift package."""
    about = architecture(settings.name).ABOUT
    return {
        "predictor": {
            "name": settings.name,
            "title": about.title,
            "reference": about.reference,
            "preset": settings.preset,
            "architecture": settings.architecture,
            "parameters": model.predictor.size,
            "context": length,
            "order": "oldest first",
            "training": {"data": settings.data, "digest": settings.digest, "recipe": asdict(settings.recipe)},
        },
        "embedding": {
            "id": settings.embedding,
            "dimensions": settings.architecture["dims"],
            "licence": _licence(settings.embedding),
        },
        "swift_package": None,
    }


def _licence(embedding: str) -> str:
    try:
        return find_model(embedding).licence
    except WotdError:
        return "unknown"  # a file of vectors says nothing of where they come from


def _contexts(settings: Settings, length: int) -> tuple[Embeddings, str]:
    """(M, C, D) to compare on, and what they are."""
    dims = settings.architecture["dims"]
    try:
        found = _real(read_sentences(Path(settings.data)), settings.embedding, length)
        if found.shape[2] != dims:
            raise WotdError(f"{settings.embedding} has {found.shape[2]} dimensions, {settings.name} reads {dims}")
        return found, f"sentences of {settings.data}"
    except WotdError as error:
        log.warning("comparing on made-up contexts, since real ones can't be had: %s", error)
        return _made_up(length, dims), "made up: unit vectors, each near the one before"


def _real(sentences: Sentences, embedding: str, length: int) -> Embeddings:
    """Contexts from articles that are spread over the data evenly."""
    lengths = np.diff(sentences.starts)
    fitting = np.flatnonzero(lengths >= length)
    if not len(fitting):
        raise WotdError(f"no article has {length} sentences; the longest has {lengths.max()}")
    count = max(1, _fewer(CHECKED, length) // TOGETHER)
    articles = fitting[_evenly(len(fitting), count)]
    rows = np.concatenate([_side_by_side(sentences.starts[a], sentences.starts[a + 1], length) for a in articles])
    read, where = np.unique(rows, return_inverse=True)
    if embedding.endswith(".npy"):
        vectors = sentence_embeddings(sentences, embedding, Path())[read]
    else:
        vectors = BertEmbedder(embedding).embed([sentences.texts[row] for row in read])
    return np.asarray(vectors[where.reshape(rows.shape)], np.float32)


def _side_by_side(start: int, end: int, length: int) -> Rows:
    """(≤ TOGETHER, C) the rows of an article's first contexts, one sentence apart."""
    last = min(end, start + length - 1 + TOGETHER)
    return np.lib.stride_tricks.sliding_window_view(np.arange(start, last), length)


def _evenly(among: int, count: int) -> Rows:
    """Up to ``count`` of the first ``among`` numbers."""
    return np.unique(np.linspace(0, among - 1, count).round().astype(np.int64))


def _fewer(count: int, length: int) -> int:
    """How many contexts of that length hold no more numbers than ``count`` of :data:`LONG` vectors."""
    return max(1, count * min(LONG, length) // length)


def _made_up(length: int, dims: int) -> Embeddings:
    """Walks over the unit sphere whose steps have a cosine of 0.4, as from sentence to sentence of an article."""
    walk = np.random.default_rng(0).standard_normal((_fewer(CHECKED, length), length, dims), np.float32)
    for position in range(1, length):
        walk[:, position] = 0.4 * walk[:, position - 1] + (1 - 0.4**2) ** 0.5 * walk[:, position]
    return unit(walk.reshape(-1, dims)).reshape(walk.shape)
