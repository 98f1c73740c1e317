"""A training from rows to adapters: one curve whatever happens on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from tests.language.conftest import load_folder
from tests.language.training.conftest import RECIPE, Made, row
from tests.tolerances import close
from tests.training.interrupt import Killed, killed_before
from wotd_mlx.config.language import LanguageRecipe, LoraConfig
from wotd_mlx.io.safetensors import read_arrays, write_arrays
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import ADAPTERS, CONFIG, read_config, write_config
from wotd_mlx.language.rows import read_exchanges
from wotd_mlx.language.training import train
from wotd_mlx.language.training.batches import form_tokens, prepare
from wotd_mlx.language.training.history import EvalRecord, LanguageState
from wotd_mlx.language.training.task import LanguageTask
from wotd_mlx.language.training.train import train_language
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.training import trainer as training


def figures(lines: list[EvalRecord]) -> list[Any]:
    """What of a history depends on the training alone."""
    return [
        (line.step, line.loss, line.valid_loss, line.learning_rate, line.gradient_norm, line.best) for line in lines
    ]


def history(folder: Path) -> list[EvalRecord]:
    """The file's lines."""
    return [EvalRecord(**line) for line in json.loads((folder / train.HISTORY).read_text())]


@pytest.mark.parametrize(("at", "saving", "compiled"), [(0, True, False), (4, True, True), (6, False, False)])
def test_killed_and_gone_on_is_the_same(
    tiny_folder: Path, folder: Path, tmp_path: Path, at: int, saving: bool, compiled: bool
) -> None:
    recipe = replace(RECIPE, lora=LoraConfig(rank=4, dropout=0.2), compile=compiled)
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    for name in ("train.jsonl", "valid.jsonl"):
        (unbroken / name).write_bytes((folder / name).read_bytes())
    want = list(train_language(unbroken, load_folder(tiny_folder), recipe))
    with killed_before(at, saving):
        list(train_language(folder, load_folder(tiny_folder), recipe))
    got = list(train_language(folder, load_folder(tiny_folder), recipe))
    assert figures(history(folder)) == figures(want)
    assert len(got) < len(want)
    assert (folder / ADAPTERS).read_bytes() == (unbroken / ADAPTERS).read_bytes()
    assert not (folder / train.CHECKPOINT).exists()


def trained(generator: Any) -> tuple[list[EvalRecord], Any]:
    """The lines of a training and its language."""
    lines = []
    while True:
        try:
            lines.append(next(generator))
        except StopIteration as stop:
            return lines, stop.value


def test_best_weights_are_kept_and_training_ends_early(tiny_folder: Path, folder: Path) -> None:
    """The validation answers contradict the training's, so more steps make them worse."""
    wrong = [row(n) for n in range(16)]
    for line in wrong:
        line["messages"][1]["content"] = "hark hark hark"
    (folder / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in wrong))
    recipe = replace(RECIPE, steps=60, learning_rate=2e-2, evaluations=30, patience=3)
    lines, language = trained(train_language(folder, load_folder(tiny_folder), recipe))
    best = min(lines, key=lambda line: line.valid_loss)
    assert lines[-1].step < 60
    assert [line.best for line in lines[-3:]] == [False] * 3
    assert lines[-4] == best
    exchanges, form = read_exchanges(folder / "valid.jsonl"), form_tokens(language.tokenizer)
    rows = prepare(exchanges, language.tokenizer, 512, form=form, form_weight=recipe.form_weight)
    fresh = load_folder(tiny_folder)
    for found in (language, lora.read_adapters(fresh, folder)):
        chosen = np.sort(np.random.default_rng([0, 1]).permutation(16)[:12])
        some = replace(rows, tokens=tuple(rows.tokens[i] for i in chosen), starts=rows.starts[chosen])
        found.model.eval()
        close(LanguageTask(found, rows, some, recipe).evaluate()[0], best.valid_loss, "language")


def test_training_learns_and_says_what_it_did(tiny_folder: Path, folder: Path) -> None:
    recipe = replace(RECIPE, steps=40, evaluations=4, learning_rate=1e-2)
    lines = list(train_language(folder, load_folder(tiny_folder), recipe))
    assert [line.step for line in lines] == [0, 10, 20, 30, 40]
    assert lines[0].loss is None
    assert lines[-1].valid_loss < 0.5 * lines[0].valid_loss
    assert lines[1].learning_rate > lines[-1].learning_rate > 0
    assert all(line.peak_bytes > 0 and line.tokens_per_second > 0 for line in lines[1:])
    assert history(folder) == lines
    config = json.loads((folder / CONFIG).read_text())
    assert config["wotd"]["finished"]
    assert config["wotd"]["model"] == "tiny"
    # Trained already: nothing more, the same language. With other settings or rows: no, unless told so.
    more, language = trained(train_language(folder, load_folder(tiny_folder), recipe))
    assert more == []
    assert any(name.endswith("lora_a") for name, _ in tree_flatten(language.model.parameters()))
    with pytest.raises(WotdError, match=r"other settings \(recipe batch 8, now 4\); give --fresh"):
        next(train_language(folder, load_folder(tiny_folder), replace(recipe, batch=4)))
    (folder / "train.jsonl").write_text((folder / "train.jsonl").read_text() + json.dumps(row(99)) + "\n")
    with pytest.raises(WotdError, match=r"other settings \(rows "):
        next(train_language(folder, load_folder(tiny_folder), recipe))
    with pytest.raises(WotdError, match=r"other settings \(rows .*; codes None, now 'abc'\)"):
        next(train_language(folder, load_folder(tiny_folder), recipe, codes="abc"))
    assert next(train_language(folder, load_folder(tiny_folder), recipe, fresh=True)).step == 0


def test_a_loss_that_is_no_number(tiny_folder: Path, folder: Path) -> None:
    recipe = replace(RECIPE, learning_rate=1e9, warmup=0.0)
    with pytest.raises(WotdError, match=r"the (loss|gradient norm) is .* lower the learning rate .* or the scale"):
        list(train_language(folder, load_folder(tiny_folder), recipe))


class Clock:
    """Stands for the module ``time``: each look at it is a hundredth of a second later."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now


def test_minutes_become_steps(
    make: Callable[..., Made],
    tiny_folder: Path,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(train, "time", clock)
    monkeypatch.setattr(training, "time", clock)
    state = LanguageState(step=10, planned=100, seconds=30.0)
    make(steps=0, minutes=1.0).task.follow_time(state)
    assert state.planned == 20
    with caplog.at_level("INFO", "wotd_mlx"):
        lines = list(train_language(folder, load_folder(tiny_folder), replace(RECIPE, steps=0, minutes=0.01)))
    # 0.6 s: of three steps timed, a third of a look each, and three or four looks a step in all.
    assert "0.0 minutes hold some" in caplog.text
    assert 8 < lines[-1].step < 40
    with pytest.raises(WotdError, match="allow more minutes"):
        next(train_language(folder, load_folder(tiny_folder), replace(RECIPE, steps=0, minutes=1e-6), fresh=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 0}, "batch is 0, expected int >= 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected float > 0"),
        ({"warmup": 1.0}, "warmup is 1.0, expected float < 1"),
        ({"minutes": 3.0}, "give one of the two"),
        ({"longest": 3}, "longest is 3, expected int >= 8"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WotdError, match=said):
        replace(RECIPE, **changes)


def test_a_folder_without_rows(tiny_folder: Path, folder: Path) -> None:
    (folder / "valid.jsonl").unlink()
    with pytest.raises(MissingError, match=r"no file .*valid\.jsonl; make the dataset first"):
        next(train_language(folder, load_folder(tiny_folder), RECIPE, fresh=True))


def begun(folder: Path, tiny_folder: Path, recipe: LanguageRecipe = RECIPE, lines: int = 2) -> None:
    """A training that stopped after some lines."""
    training = train_language(folder, load_folder(tiny_folder), recipe)
    for _ in range(lines):
        next(training)
    training.close()


def test_a_checkpoint_of_another_training_is_told(tiny_folder: Path, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("train.jsonl", "valid.jsonl"):
        (other / name).write_bytes((folder / name).read_bytes())
    begun(folder, tiny_folder)
    begun(other, tiny_folder, replace(RECIPE, seed=1))
    (folder / train.CHECKPOINT).write_bytes((other / train.CHECKPOINT).read_bytes())
    told = r"checkpoint\.safetensors doesn't belong to the settings here: .*; give --fresh to start over"
    with pytest.raises(WotdError, match=told):
        next(train_language(folder, load_folder(tiny_folder), RECIPE))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (None, "state: not JSON"),
        ("[]", "state: it is [], expected keys and values"),
        ('{"step": -1}', "state: step is -1, expected int >= 0"),
        ('{"sums": [1, 2, 3], "counted": 1}', "sums are 3 numbers, expected 2"),
        ('{"seconds": Infinity}', "Infinity is no number in JSON"),
        ('{"history": [{"step": 0}]}', "state: history[0] lacks loss"),
        ('{"steps": 1}', "state: unknown keys 'steps'"),
    ],
)
def test_a_checkpoint_that_was_changed(tiny_folder: Path, folder: Path, state: str | None, told: str) -> None:
    begun(folder, tiny_folder)
    stored = read_arrays(folder / train.CHECKPOINT, "")
    metadata = {key: value for key, value in stored.metadata.items() if key != "state"}
    write_arrays(folder / train.CHECKPOINT, stored.arrays, metadata | ({"state": state} if state else {}))
    with pytest.raises(WotdError, match=f"{re.escape(told)}.*; give --fresh to start over"):
        next(train_language(folder, load_folder(tiny_folder), RECIPE))
    write_arrays(folder / train.CHECKPOINT, {**stored.arrays, "more": mx.ones(2)}, metadata)
    with pytest.raises(WotdError, match=r"1 arrays differ, such as more.*; give --fresh"):
        next(train_language(folder, load_folder(tiny_folder), RECIPE))


def test_old_weights_are_never_a_finished_training(tiny_folder: Path, folder: Path, tmp_path: Path) -> None:
    """Settings that say it has ended mean nothing beside other weights, or none."""
    list(train_language(folder, load_folder(tiny_folder), RECIPE))
    whole, lines = (folder / ADAPTERS).read_bytes(), figures(history(folder))
    (folder / ADAPTERS).unlink()
    (folder / train.HISTORY).write_text("of another training")
    assert figures(list(train_language(folder, load_folder(tiny_folder), RECIPE))) == lines
    assert (folder / ADAPTERS).read_bytes() == whole
    assert figures(history(folder)) == lines
    config = read_config(folder)
    other = replace(RECIPE, seed=1)
    list(train_language(folder, load_folder(tiny_folder), other, fresh=True))
    write_config(folder, config)
    with pytest.raises(WotdError, match=r"adapters\.safetensors doesn't belong to the settings here"):
        list(train_language(folder, load_folder(tiny_folder), RECIPE))


@pytest.mark.parametrize("at", range(1, 5))
def test_killed_while_the_old_training_is_removed(
    tiny_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """At each moment what is there belongs together: the settings are those of what is left."""
    begun(folder, tiny_folder)
    asked, unlink, removed = replace(RECIPE, seed=1), Path.unlink, list[str]()

    def dying(self: Path, missing_ok: bool = False) -> None:
        if self.parent == folder:
            removed.append(self.name)
            if len(removed) == at:
                raise Killed
        unlink(self, missing_ok)

    with monkeypatch.context() as dangerous:
        dangerous.setattr(Path, "unlink", dying)
        with pytest.raises(Killed):
            next(train_language(folder, load_folder(tiny_folder), asked, fresh=True))
    assert removed[-1] == [ADAPTERS, train.CHECKPOINT, train.HISTORY, CONFIG][at - 1]
    with pytest.raises(WotdError, match=r"other settings \(recipe seed 0, now 1\)"):
        next(train_language(folder, load_folder(tiny_folder), asked))
    want = figures(list(train_language(folder, load_folder(tiny_folder), RECIPE)))
    assert [line[0] for line in want] == ([8] if at == 1 else [0, 4, 8])
