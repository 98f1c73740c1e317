"""A language model's training from a dataset to adapters: begun, gone on with after a kill, ended with the best.

Files of the folder: ``train.jsonl`` and ``valid.jsonl`` are read; ``adapters.safetensors`` and ``adapter_config.json``
hold the best weights so far, ``history.json`` a line an evaluation, ``checkpoint.safetensors`` what going on needs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from wotd_mlx.backend import memory_limit
from wotd_mlx.config.language import LanguageRecipe
from wotd_mlx.io.files import read_bytes
from wotd_mlx.io.json import write_json
from wotd_mlx.io.lock import locked
from wotd_mlx.io.records import checked, shown
from wotd_mlx.io.safetensors import digest_of
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import (
    ADAPTERS,
    CONFIG,
    SETTINGS,
    AdapterConfig,
    Origin,
    check_weights,
    read_config,
    read_weights,
    write_config,
    write_weights,
)
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.rows import read_exchanges
from wotd_mlx.language.training.batches import Rows, form_tokens, prepare
from wotd_mlx.language.training.history import EvalRecord, LanguageState
from wotd_mlx.language.training.memory import fit_into
from wotd_mlx.language.training.task import LanguageTask
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError
from wotd_mlx.training.checkpoint import Checkpoint
from wotd_mlx.training.step import Step
from wotd_mlx.training.trainer import Trainer

log = logging.getLogger("wotd_mlx")

HISTORY, CHECKPOINT = "history.json", "checkpoint.safetensors"
_TIMED_STEPS = 3


def train_language(
    folder: Path,
    language: LoadedModel,
    recipe: LanguageRecipe,
    limit: int | None = None,
    fresh: bool = False,
    codes: str | None = None,
) -> Generator[EvalRecord, None, LoadedModel]:
    """Train adapters for ``folder/train.jsonl`` on a language; yields the lines of the history that this call adds.

    A training that was killed goes on from its last checkpoint, at most a minute of steps earlier, with the curve of
    one that never stopped. One that has ended is left as it is. The generator's value is the language with the best
    adapters on it; its model is changed in place.

    Args:
        folder: of the run's language stage, such as ``runs/default/language``.
        limit: bytes that the training may hold; by default the limit in force.
        fresh: start over, whatever the folder holds.
        codes: digest of the codes that the rows were made from: for others the adapters won't be taken.

    Raises:
        MissingError: no rows.
        BusyError: another training holds the folder.
        TooLargeError: a limit that nothing fits in.
        WotdError: other settings than the folder's training began with, a file that is damaged or of another training,
            or a loss that is no longer a number.
    """
    with locked(folder):
        # As it is read again, lists as tuples, so that it compares.
        asked = checked(Origin, asdict(Origin(language.name, _rows(folder), codes, recipe, finished=False)))
        found = None if fresh else _found(folder, asked)
        adapters = (folder / ADAPTERS).exists()
        if found and found.finished and adapters:
            (folder / CHECKPOINT).unlink(missing_ok=True)  # killed after the last file, before this
            log.info("%s is trained already: %s", language.name, folder)
            return lora.read_adapters(language, folder)
        going_on = found is not None and adapters and (folder / CHECKPOINT).exists()
        return (yield from _train(folder, language, limit or memory_limit(), asked, going_on))


def _rows(folder: Path) -> str:
    """Digest of what is trained on.

    Raises:
        MissingError: the folder has no rows to train on.
    """
    hint = "make the dataset first, with `wotd-mlx train` or by hand"
    parts = [read_bytes(folder / f"{name}.jsonl", hint) for name in ("train", "valid")]
    return digest_of([hashlib.sha256(part).hexdigest() for part in parts])


def _found(folder: Path, asked: Origin) -> Origin | None:
    """What the folder's training was begun with; None where there is none.

    Raises:
        WotdError: it is another one.
    """
    if not (folder / CONFIG).exists():
        return None
    found = read_config(folder).wotd
    if found is None:
        raise WotdError(f"{folder} holds adapters that another program trained; give --fresh to replace them")
    was, now = (
        {**asdict(one), **{f"recipe {k}": v for k, v in asdict(one.recipe).items()}, "recipe": None, "finished": None}
        for one in (found, asked)
    )
    if other := [f"{key} {shown(was[key])}, now {shown(now[key])}" for key in now if was[key] != now[key]]:
        raise WotdError(
            f"{folder} holds a training with other settings ({'; '.join(other[:3])}); give --fresh to start over"
        )
    return found


def _train(
    folder: Path, language: LoadedModel, limit: int, asked: Origin, going_on: bool
) -> Generator[EvalRecord, None, LoadedModel]:
    started = time.monotonic()
    task, config = _task(folder, language, asked)
    step = task.step()
    trainer = Trainer(task, step, LanguageState())
    checkpoint = Checkpoint(folder / CHECKPOINT, {SETTINGS: config.digest}, "give --fresh to start over")
    if going_on:
        check_weights(folder, config)
        checkpoint.resume(trainer)
    now = trainer.state
    fit_into(task, step, limit)
    if not going_on:
        task.plan(now, _steps(task, step, time.monotonic() - started))
        now.seconds = time.monotonic() - started
        # The settings last: as long as there is a file of an old training, they are there too.
        for name in (ADAPTERS, CHECKPOINT, HISTORY, CONFIG):
            (folder / name).unlink(missing_ok=True)
        write_config(folder, config)
    with progress(f"training {language.name}", max(0, now.planned - now.step)) as advance:
        for record in trainer.evaluations(advance, lambda: checkpoint.save(trainer)):
            task.follow_time(now)
            if record.best:
                write_weights(folder, lora.trained(task.model), config)
            write_json(folder / HISTORY, [asdict(line) for line in now.history])
            # After the files: killed in between, the line is made and written once more, the same.
            checkpoint.write(trainer)
            yield record
    lora.put_in(task.model, read_weights(folder, config))
    mx.eval(task.model.parameters())
    task.model.freeze()
    task.model.eval()
    write_config(folder, replace(config, wotd=replace(asked, finished=True)))
    checkpoint.remove()
    return language


def _task(folder: Path, language: LoadedModel, asked: Origin) -> tuple[LanguageTask, AdapterConfig]:
    """What is trained, at its beginning, and the settings that go with what it makes."""
    recipe = asked.recipe
    # Adapters begin with random numbers, the same whatever was drawn before.
    mx.random.seed(recipe.seed)
    config = AdapterConfig.of(lora.apply(language.model, recipe.lora), asked)
    sets: dict[str, Rows] = {}
    form = form_tokens(language.tokenizer)
    for name in ("train", "valid"):
        exchanges = read_exchanges(folder / f"{name}.jsonl")
        if name == "valid" and 0 < recipe.valid_rows < len(exchanges):
            chosen = np.random.default_rng([recipe.seed, 1]).permutation(len(exchanges))[: recipe.valid_rows]
            exchanges = [exchanges[i] for i in np.sort(chosen)]
        sets[name] = prepare(exchanges, language.tokenizer, recipe.longest, f"{name}.jsonl", form, recipe.form_weight)
    return LanguageTask(language, sets["train"], sets["valid"], recipe), config


def _steps(task: LanguageTask, step: Step, spent: float) -> int:
    """How many steps the recipe asks for, or its minutes allow."""
    recipe = task.recipe
    if not recipe.minutes:
        return recipe.steps or recipe.epochs * task.batches_an_epoch
    task.model.train()
    begun = time.monotonic()
    for i in range(_TIMED_STEPS):
        step.gradients(task.parts(task.numbers(i)))
    one = (time.monotonic() - begun) / _TIMED_STEPS
    task.model.eval()
    begun = time.monotonic()
    task.evaluate()
    valid = time.monotonic() - begun
    left = 60 * recipe.minutes - spent - _TIMED_STEPS * one - (recipe.evaluations + 2) * valid
    steps = int(left / one)
    if steps < 1:
        raise WotdError(
            f"a step takes {one:.1f} s and an evaluation {valid:.1f} s, so {recipe.minutes:g} minutes hold none; "
            "allow more minutes, or lower the batch, the longest or valid_rows"
        )
    log.info(
        "%.1f minutes hold some %d steps of %.2f s (%.1f epochs) and %d evaluations of %.1f s",
        recipe.minutes,
        steps,
        one,
        steps / task.batches_an_epoch,
        recipe.evaluations,
        valid,
    )
    return steps
