"""Rows to train on, and a trainer on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models import llama

from tests.language.conftest import SHAPE, load_folder
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.language import lora
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.rows import read_exchanges
from wotd_mlx.language.training.batches import Rows, form_tokens, prepare
from wotd_mlx.language.training.history import LanguageState
from wotd_mlx.language.training.task import LanguageTask
from wotd_mlx.training.step import Step
from wotd_mlx.training.trainer import Trainer

WORDS = ("calm", "serene", "thou", "gleam", "ennui", "verdant", "hark", "zeal")
RECIPE = LanguageRecipe(LoraConfig(rank=4), steps=8, batch=8, learning_rate=5e-3, evaluations=2, valid_rows=12)


def row(n: int) -> dict[str, Any]:
    """A request for a pattern, and words that depend on it."""
    a, b = n % 8, n * 5 % 8
    answer = ", ".join(WORDS[(a + i) % 8] for i in range(1 + b % 4))
    request = f"Words matching pattern [{a},{b},*,*]:"
    return {
        "messages": [{"role": "user", "content": request}, {"role": "assistant", "content": answer}],
        "kind": "by_pattern",
    }


def write_rows(folder: Path) -> None:
    """40 rows to train on and 16 to validate on."""
    for name, numbers in (("train", range(40)), ("valid", range(40, 56))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in numbers))


class Made:
    """A task, its steps and their trainer; gradients and losses as a training takes them."""

    def __init__(self, task: LanguageTask, step: Step):
        self.task, self.step, self.model, self.train = task, step, task.model, task.train
        self.trainer = Trainer(task, step, LanguageState())

    def gradients(self, numbers: Any) -> tuple[float, Any]:
        """Loss and gradients of a step on these rows."""
        self.model.train()
        figures, _, gradients = self.step.gradients(self.task.parts(numbers))
        return figures[0], gradients

    def validate(self) -> float:
        """Loss on the validation rows."""
        self.model.eval()
        return self.task.evaluate()[0]


def made(language: LoadedModel, folder: Path, recipe: LanguageRecipe) -> Made:
    """A trainer of adapters away from their start of zero, on the folder's rows."""
    mx.random.seed(0)
    lora.apply(language.model, recipe.lora)
    rng = np.random.default_rng(0)
    weights = lora.trained(language.model)
    lora.put_in(language.model, {n: w + mx.array(rng.normal(0, 0.05, w.shape)) for n, w in weights.items()})
    rows: dict[str, Rows] = {}
    for name in ("train", "valid"):
        exchanges, form = read_exchanges(folder / f"{name}.jsonl"), form_tokens(language.tokenizer)
        rows[name] = prepare(exchanges, language.tokenizer, recipe.longest, form=form, form_weight=recipe.form_weight)
    task = LanguageTask(language, rows["train"], rows["valid"], recipe)
    found = Made(task, task.step())
    task.plan(found.trainer.state, recipe.steps)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A language folder with rows."""
    write_rows(tmp_path)
    return tmp_path


@pytest.fixture
def make(tiny_folder: Path, folder: Path) -> Callable[..., Made]:
    """A trainer on the rows, its adapters away from their start of zero."""

    def make_one(depth: int = 0, **changes: Any) -> Made:
        language = load_folder(tiny_folder)
        if depth:
            shape = {**SHAPE, "num_hidden_layers": depth}
            language = replace(language, model=llama.Model(llama.ModelArgs.from_dict(shape)))
        return made(language, folder, replace(RECIPE, **changes))

    return make_one
