"""Training the codes: by gradient, or computed; and how the levels are used in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Embeddings, Indices, Vectors
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.metrics import usage_and_perplexity
from wotd_mlx.codes.reader import Reader
from wotd_mlx.codes.split import Split
from wotd_mlx.codes.task import CodesState, CodesTask, Epoch, variance
from wotd_mlx.config import CodesConfig
from wotd_mlx.config.codes import ReaderConfig
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.checkpoint import Checkpoint, train
from wotd_mlx.training.rows import steps_in
from wotd_mlx.training.trainer import Trainer

log = logging.getLogger("wotd_mlx")


class Texts(NamedTuple):
    """What a reader learns of N texts beside their vectors: their own embeddings (N, D), by no dictionary, and the
    vectors (N, D) that they would have, were they in none."""

    own: Embeddings
    guessed: Embeddings


def fit_reader(
    reader: Reader,
    views: Sequence[Vectors],
    labels: Indices,
    train: Indices,
    valid: Indices,
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
    *,
    fuse: bool,
) -> None:
    """Have a reader learn the labels (N, A) of rows ``train``, and calibrate it on rows ``valid``.

    Args:
        views: one array (N, W) or several, each of all words in another way; all are learnt from.
    """

    def stacked(rows: Indices) -> tuple[Vectors, Indices]:
        return np.concatenate([view[rows] for view in views]), np.concatenate([labels[rows]] * len(views))

    reader.fit(*stacked(train), seed, progress, fuse=fuse)
    reader.calibrate(*stacked(valid), len(views))


def training_steps(model: Autoencoder, cfg: CodesConfig, rows: int, labels: Indices, texts: bool = False) -> int:
    """How many steps :func:`fit` will count off on so many training words with labels (N, A)."""
    beyond = model.detail.stages(rows) if model.detail is not None else 0
    labelled = int((labels >= 0).any(axis=1).sum())
    beyond += steps_in(ReaderConfig(), labelled) + (steps_in(ReaderConfig(), 2 * labelled) if texts else 0)
    return beyond + (steps_in(cfg, rows) if model.quantizer.learns else model.quantizer.stages(rows))


def fit(
    model: Autoencoder,
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
    checkpoint: Checkpoint | None = None,
    texts: Texts | None = None,
) -> Iterator[Epoch]:
    """Train ``model`` on x (N, D) with labels (N, A); yields an epoch at a time and ends with the best weights.

    Codes that are computed rather than learnt with an encoder around them take one epoch.

    Args:
        checkpoint: written on the way, and gone on from where it is there; the epochs before it are yielded too.
        texts: what x are the vectors of; without it labels can be told of vectors alone.

    Raises:
        WotdError: a vector that isn't finite, or a checkpoint of another training.
    """
    if len(bad := np.flatnonzero(~np.isfinite(x).all(axis=1))):
        raise WotdError(f"vector {bad[0]} of {len(x)} is not finite ({len(bad)} such); check the embedding model")
    mx.random.seed(seed)
    model.start(x[split.train], seed, progress)
    fit_reader(model.reader, [x], labels, split.train, split.valid, seed, progress, fuse=cfg.compile)
    if texts is not None:
        views = [np.concatenate([rows, texts.own], axis=1) for rows in (x, texts.guessed)]
        fit_reader(model.text_reader, views, labels, split.train, split.valid, seed, progress, fuse=cfg.compile)
    if not model.quantizer.learns:
        yield _compute(model, x, labels, split, cfg, seed, progress)
    else:
        task = CodesTask(model, x, labels, split, cfg, seed)
        trainer = Trainer(task, task.step(cfg.clip, cfg.compile), CodesState())
        yield from train(trainer, checkpoint, progress)
        trainer.restore_best()
    model.eval()
    model.fit_detail(x[split.train], seed, progress)


def _compute(
    model: Autoencoder,
    x: Embeddings,
    labels: Indices,
    split: Split,
    cfg: CodesConfig,
    seed: int,
    progress: Callable[[int], None],
) -> Epoch:
    train = np.asarray(model.latents(mx.array(x[split.train])))
    own = model.quantizer.enter(train, labels[split.train], seed, progress)
    ids = np.concatenate([own, np.asarray(model.encode(mx.array(x[split.valid])))])
    decoded = np.asarray(model.decode(mx.array(ids)))
    errors = ((x[np.concatenate([split.train, split.valid])] - decoded) ** 2).sum(axis=1)
    spread = variance(model, x[split.train])
    trained, seen = (float(part.mean()) / spread for part in np.split(errors, [len(split.train)]))
    usage, perplexity = usage_and_perplexity(own, cfg.levels)
    return Epoch(1, trained, seen, seen, 0.0, usage, perplexity, 0)


def history_rows(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """The epochs as plain values, for ``history.json``."""
    return [asdict(epoch) for epoch in history]


def warn_of_collapse(history: Sequence[Epoch], levels: Sequence[int]) -> None:
    """Log a warning for each level of which the last epoch's training words use less than half the codes."""
    for q, (used, k) in enumerate(zip(history[-1].usage, levels, strict=True)):
        if used < 0.5:
            log.warning("level %d has collapsed: %.0f of its %d codes are used", q + 1, used * k, k)
