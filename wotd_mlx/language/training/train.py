"""A language model's training from a dataset to adapters: begun, gone on with after a kill, ended with the best.

Files of the folder: ``train.jsonl`` and ``valid.jsonl`` are read; ``adapters.safetensors`` and ``adapter_config.json``
hold the best weights so far, ``history.json`` a line an evaluation, ``checkpoint.safetensors`` what going on needs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from wotd_mlx.backend import memory_limit
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.files import locked, write_atomically
from wotd_mlx.language import lora
from wotd_mlx.language.chat import Language
from wotd_mlx.language.rows import read_exchanges
from wotd_mlx.language.tokens import CodeTokens, extend
from wotd_mlx.language.training.batches import Rows, form_tokens, prepare
from wotd_mlx.language.training.loop import LanguageTrainer, Line, Progressed
from wotd_mlx.language.training.memory import fit_into
from wotd_mlx.progress import progress
from wotd_mlx.schemas import WotdError

log = logging.getLogger("wotd_mlx")

SAVE_SECONDS = 60.0
"""What a killed training loses at most."""
HISTORY, CHECKPOINT = "history.json", "checkpoint.safetensors"
_TIMED_STEPS = 3


def train_language(
    folder: Path, language: Language, recipe: LanguageRecipe, limit: int | None = None, fresh: bool = False
) -> Generator[Line, None, Language]:
    """Train adapters for ``folder/train.jsonl`` on a language; yields the lines of the history that this call adds.

    A training that was killed goes on from its last checkpoint, at most a minute of steps earlier, with the curve of
    one that never stopped. One that has ended is left as it is. The generator's value is the language with the best
    adapters on it; its model is changed in place.

    Args:
        folder: of the run's language stage, such as ``runs/default/language``.
        limit: bytes that the training may hold; by default the limit in force.
        fresh: start over, whatever the folder holds.

    Raises:
        WotdError: no rows, other settings than the folder's training began with, a limit that nothing fits in, or a
            loss that is no longer a number.
    """
    with locked(folder):
        if fresh:
            for name in (lora.ADAPTERS, lora.CONFIG, HISTORY, CHECKPOINT):
                (folder / name).unlink(missing_ok=True)
        asked = settings(folder, language, recipe)
        found = _found(folder, asked)
        if found and found["finished"]:
            log.info("%s is trained already: %s", language.name, folder)
            return lora.read_adapters(language, folder)
        return (yield from _train(folder, language, recipe, limit or memory_limit(), asked))


def settings(folder: Path, language: Language, recipe: LanguageRecipe) -> dict[str, Any]:
    """What ``adapter_config.json`` holds under ``wotd``: enough to tell whether a training may go on.

    Raises:
        WotdError: the folder has no rows to train on.
    """
    digest = hashlib.sha256()
    for name in ("train.jsonl", "valid.jsonl"):
        if not (folder / name).exists():
            raise WotdError(f"{folder} has no {name}; make the dataset first, with `wotd-mlx train` or by hand")
        digest.update((folder / name).read_bytes() + b"\0")
    raw: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    codes = list(recipe.code_tokens)
    return {"model": language.name, "rows": digest.hexdigest()[:16], "recipe": raw, "code_tokens": codes}


def _found(folder: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What the folder's training was begun with; None where there is none.

    Raises:
        WotdError: it is another one.
    """
    if not (folder / lora.CONFIG).exists():
        return None
    found = lora.read_config(folder).get("wotd")
    if not isinstance(found, dict) or not asked.keys() <= found.keys():
        raise WotdError(f"{folder} holds adapters that another program trained; give --fresh to replace them")
    was = {**found, **{f"recipe {k}": v for k, v in found["recipe"].items()}, "recipe": None}
    now = {**asked, **{f"recipe {k}": v for k, v in asked["recipe"].items()}, "recipe": None}
    if other := [f"{key} {was.get(key)!r}, now {now[key]!r}" for key in now if was.get(key) != now[key]]:
        raise WotdError(
            f"{folder} holds a training with other settings ({'; '.join(other[:3])}); give --fresh to start over"
        )
    return {"finished": False, **found}


def _train(
    folder: Path, language: Language, recipe: LanguageRecipe, limit: int, asked: dict[str, Any]
) -> Generator[Line, None, Language]:
    started = time.monotonic()
    trainer, cfg = _trainer(folder, language, recipe)
    now = trainer.progressed
    fit_into(trainer, limit)
    if not now.planned:
        trainer.plan(_steps(trainer, time.monotonic() - started))
        now.seconds = time.monotonic() - started
        lora.write_config(folder, cfg, {**asked, "finished": False})
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if time.monotonic() - saved >= SAVE_SECONDS:
            _write_checkpoint(folder, trainer)
            saved = time.monotonic()

    with progress(f"training {language.name}", max(0, now.planned - now.step)) as advance:
        for line in trainer.lines(advance, save):
            if line.best:
                lora.write_adapters(folder, lora.trained(trainer.model))
            lines = [asdict(line) for line in now.history]
            write_atomically(folder / HISTORY, (json.dumps(lines, indent=1) + "\n").encode())
            # After the files: killed in between, the line is made and written once more, the same.
            _write_checkpoint(folder, trainer)
            saved = time.monotonic()
            yield line
    trained = trainer.language
    lora.put_in(trained.model, lora.read_weights(folder / lora.ADAPTERS))
    mx.eval(trained.model.parameters())
    trained.model.freeze()
    trained.model.eval()
    lora.write_config(folder, cfg, {**asked, "finished": True})
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return trained


def _trainer(folder: Path, language: Language, recipe: LanguageRecipe) -> tuple[LanguageTrainer, LoraConfig]:
    """What trains: from its beginning, or from a checkpoint that the folder holds."""
    codes = CodeTokens(recipe.code_tokens) if recipe.code_tokens else None
    # Adapters begin with random numbers, the same whatever was drawn before.
    mx.random.seed(recipe.seed)
    cfg = lora.apply(language.model, recipe.lora)
    if codes:
        language = extend(language, codes, recipe.seed)
    sets: dict[str, Rows] = {}
    form = form_tokens(language.tokenizer)
    for name in ("train", "valid"):
        exchanges = read_exchanges(folder / f"{name}.jsonl")
        if name == "valid" and 0 < recipe.valid_rows < len(exchanges):
            chosen = np.random.default_rng([recipe.seed, 1]).permutation(len(exchanges))[: recipe.valid_rows]
            exchanges = [exchanges[i] for i in np.sort(chosen)]
        write = codes.write if codes else None
        sets[name] = prepare(
            exchanges, language.tokenizer, recipe.longest, write, f"{name}.jsonl", form, recipe.form_weight
        )
    trainer = LanguageTrainer(language, sets["train"], sets["valid"], recipe)
    if (folder / CHECKPOINT).exists():
        arrays, metadata = lora.read_weights(folder / CHECKPOINT), read_metadata(folder / CHECKPOINT)
        trainer.resume(arrays, Progressed.from_json(json.loads(metadata["progressed"])))
        log.info("%s goes on after step %d", language.name, trainer.progressed.step)
    return trainer, cfg


def _steps(trainer: LanguageTrainer, spent: float) -> int:
    """How many steps the recipe asks for, or its minutes allow."""
    recipe = trainer.recipe
    if not recipe.minutes:
        return recipe.steps or recipe.epochs * trainer.batches_an_epoch
    begun = time.monotonic()
    for i in range(_TIMED_STEPS):
        trainer.gradients(trainer.numbers(i))
    step = (time.monotonic() - begun) / _TIMED_STEPS
    begun = time.monotonic()
    trainer.validate()
    valid = time.monotonic() - begun
    left = 60 * recipe.minutes - spent - _TIMED_STEPS * step - (recipe.evaluations + 2) * valid
    steps = int(left / step)
    if steps < 1:
        raise WotdError(
            f"a step takes {step:.1f} s and an evaluation {valid:.1f} s, so {recipe.minutes:g} minutes hold none; "
            "allow more minutes, or lower the batch, the longest or valid_rows"
        )
    log.info(
        "%.1f minutes hold some %d steps of %.2f s (%.1f epochs) and %d evaluations of %.1f s",
        recipe.minutes,
        steps,
        step,
        steps / trainer.batches_an_epoch,
        recipe.evaluations,
        valid,
    )
    return steps


def _write_checkpoint(folder: Path, trainer: LanguageTrainer) -> None:
    """Arrays and counters in one file, so that they can't be of two different moments."""
    content = {"progressed": json.dumps(asdict(trainer.progressed))}
    write_atomically(folder / CHECKPOINT, lambda file: mx.save_safetensors(file, trainer.arrays(), content))


def read_metadata(path: Path) -> dict[str, str]:
    """The texts beside the arrays of a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return dict(file.metadata() or {})
