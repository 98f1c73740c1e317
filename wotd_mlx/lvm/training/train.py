"""One model's training from data to files: begun, gone on with after a kill, ended with its best and last weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map

from wotd_mlx.arrays import Embeddings
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.lock import locked
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.data.embeddings import digest
from wotd_mlx.lvm.data.sentences import Sentences, Split, split_by_article
from wotd_mlx.lvm.parts.residual import Scalars
from wotd_mlx.lvm.store import ModelFolder, Settings, untrained
from wotd_mlx.lvm.training.history import Epoch, PredictorState
from wotd_mlx.lvm.training.memory import fit_into, goes_by_blocks, see_batch_fits
from wotd_mlx.lvm.training.task import BlockwiseTask, PredictorTask
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.layerwise import materialise
from wotd_mlx.training.trainer import Trainer

log = logging.getLogger("wotd_mlx")

_SCALAR_RATE, _SCALAR_EPOCHS = 0.02, 2
_NORMALISED_ROWS = 20_000
"""Sentences from which medians and quartiles are taken."""


def settings_for(
    name: str, size: str, recipe: Recipe, sentences: Sentences, embeddings: Embeddings, embedding: str, data: Path
) -> Settings:
    """What a training is asked for.

    Raises:
        WotdError: an unknown model or preset, or a context that no article can fill.
    """
    config = preset(name, size, dims=embeddings.shape[1])
    longest = int(np.diff(sentences.starts).max()) - 1
    if recipe.context > longest:
        raise WotdError(
            f"--context {recipe.context} is longer than any article of {data}: before its last sentence the longest "
            f"has {longest}; give --context {longest} or less"
        )
    return Settings(name, size, asdict(config), recipe, embedding, str(data), digest(sentences, embedding))


def train(
    settings: Settings, sentences: Sentences, embeddings: Embeddings, out: Path, memory_limit: int, fresh: bool = False
) -> Iterator[Epoch]:
    """Train into ``out/models/NAME/``; yields the epochs that this call trains.

    A training that was killed goes on from its last checkpoint, at most a minute of steps earlier, with the curve of
    one that never stopped. One that has ended is left as it is.

    Raises:
        BusyError: another process writes to the folder.
        TooLargeError: it doesn't fit the limit.
        WotdError: the folder holds a training with other settings, or a damaged one.
    """
    folder = ModelFolder(out, settings.name)
    with locked(folder.path):
        if fresh:
            folder.clear()
        if folder.config.exists():
            _same(folder.settings(), settings, folder)
        if folder.ended(settings, whole=True):
            folder.write_settings(settings)
            # Left by a kill after the last weights were written.
            folder.checkpoint.unlink(missing_ok=True)
            log.info("%s is trained already: %s", settings.name, folder.path)
            return
        yield from _train(settings, sentences, embeddings, folder, memory_limit)


def _same(found: Settings, asked: Settings, folder: ModelFolder) -> None:
    was, now = asdict(found), asdict(asked)
    was |= {f"recipe {k}": v for k, v in was.pop("recipe").items()}
    now |= {f"recipe {k}": v for k, v in now.pop("recipe").items()}
    other = [f"{key} {was[key]!r}, now {now[key]!r}" for key in was if was[key] != now.get(key) and key != "data"]
    if other:
        raise WotdError(
            f"{folder.path} holds a training with other settings ({'; '.join(other[:3])}); "
            "give --fresh to start over, or another --out"
        )


def _train(
    settings: Settings, sentences: Sentences, embeddings: Embeddings, folder: ModelFolder, memory_limit: int
) -> Iterator[Epoch]:
    checkpoint = folder.checkpoint_of(settings)
    trainer = trainer_for(settings, sentences, embeddings, memory_limit, folder)
    now, task = trainer.state, trainer.task
    assert isinstance(task, PredictorTask)
    # Not before: what can't be trained leaves nothing that stands in the way of other settings.
    folder.write_settings(settings)
    if now.history:
        folder.write_history(now.history)
    else:
        for file in (folder.best, folder.history):
            file.unlink(missing_ok=True)

    def write_weights(path: Path) -> None:
        """All weights of the model, frozen ones too, with what training keeps for the others."""
        with trainer.stepper.showing_kept():
            folder.write_weights(path, named(trainer.task.model.parameters()), settings, now.history)

    left = max(0, settings.recipe.epochs - now.epoch + 1) * task.steps - now.batch
    with progress(settings.name, left) as advance:
        for epoch in trainer.evaluations(advance, lambda: checkpoint.save(trainer)):
            if epoch.best:
                write_weights(folder.best)
            folder.write_history(now.history)
            # After the files: killed in between, the epoch is trained and written once more, the same.
            checkpoint.write(trainer)
            yield epoch
    write_weights(folder.final)
    checkpoint.remove()


def trainer_for(
    settings: Settings,
    sentences: Sentences,
    embeddings: Embeddings,
    memory_limit: int,
    folder: ModelFolder | None = None,
) -> Trainer[PredictorState]:
    """What trains a model of these settings under a limit: from its beginning, or from the checkpoint in a folder.

    Raises:
        TooLargeError: the limit is too low for it.
        WotdError: the checkpoint is damaged, or another training's.
    """
    recipe = settings.recipe
    see_batch_fits(recipe, embeddings.shape[1], memory_limit)
    split = split_by_article(sentences, settings.valid, settings.test)
    mx.random.seed(recipe.seed)
    model = untrained(settings)
    resumed = folder is not None and folder.checkpoint.exists()
    by_blocks = goes_by_blocks(model, recipe, memory_limit)
    # Nothing has been computed yet: weights that don't fit in fp32 never stand in it.
    if not by_blocks:
        mx.eval(model.parameters())
    elif resumed:
        model.update(tree_map(lambda weight: weight.astype(mx.bfloat16), model.trainable_parameters()))
    else:
        materialise(model, mx.bfloat16)
    if recipe.base != "none":
        model.scalars.update(fit_scalars(sentences, embeddings, split, recipe))
    fit_normaliser = getattr(model.predictor, "fit_normaliser", None)
    if fit_normaliser is not None:
        rows = np.random.default_rng(recipe.seed).permutation(sentences.rows(split.train))[:_NORMALISED_ROWS]
        fit_normaliser(embeddings[np.sort(rows)] * model.scale)
    if by_blocks:
        blockwise = BlockwiseTask(model, sentences, embeddings, split, recipe)
        trainer = Trainer(blockwise, blockwise.layerwise(), PredictorState())
    else:
        task = PredictorTask(model, sentences, embeddings, split, recipe)
        trainer = Trainer(task, task.step(), PredictorState())
    if folder is not None and folder.checkpoint_of(settings).resume(trainer) and trainer.state.history:
        folder.see_best()
    fit_into(trainer, memory_limit)
    return trainer


def fit_scalars(sentences: Sentences, embeddings: Embeddings, split: Split, recipe: Recipe) -> dict[str, Any]:
    """Weights of :class:`Scalars` under the recipe's loss, by a few hundred steps of Adam on six numbers."""
    alone = replace(
        recipe, learning_rate=_SCALAR_RATE, weight_decay=0.0, epochs=_SCALAR_EPOCHS, ema=0.9, warmup=0, seed=recipe.seed
    )
    task = PredictorTask(Scalars(), sentences, embeddings, split, alone)
    trainer = Trainer(task, task.step(), PredictorState())
    with progress("fitting scalars", task.steps * _SCALAR_EPOCHS) as advance:
        for _ in trainer.evaluations(advance):
            pass
    kept: dict[str, Any] = trainer.stepper.kept
    return kept
