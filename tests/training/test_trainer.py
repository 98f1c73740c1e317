"""The loop: when it evaluates and ends, what it keeps, and that an interrupted training is the same training."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest

from tests.tolerances import close
from tests.training.interrupt import killed_before
from tests.training.toy import AN_EPOCH, RATE, RULE, STEPS, WARMUP, Toy, ToyState
from wotd_mlx.io.safetensors import named, read_arrays, write_arrays
from wotd_mlx.schemas import WotdError
from wotd_mlx.training import checkpoint as checkpoints
from wotd_mlx.training.checkpoint import Checkpoint, train
from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.step import Step
from wotd_mlx.training.trainer import Trainer


def trainer_of(task: Toy, ema: float = 0.0) -> Trainer[ToyState]:
    optimizer = optim.AdamW(1.0, weight_decay=0.1, bias_correction=True)
    return Trainer(task, Step(task, optimizer, clip=2.0, ema=ema, compiled=False), ToyState())


def test_an_epoch_is_evaluated_once_and_told_by_its_means() -> None:
    task = Toy(losses=[3.0, 2.0, 2.5])
    trainer, figures, notes = trainer_of(task), list[list[float]](), list[str]()
    step = trainer.step
    trainer.step = lambda parts: figures.append(step(parts)) or figures[-1]
    history = list(trainer.evaluations(lambda n, note: notes.append(note)))
    assert [row[0] for row in history] == [4, 8, 12]
    assert [(row[4], row[-1]) for row in history] == [(3.0, 1), (2.0, 1), (2.5, 0)]
    for n, row in enumerate(history):
        close(np.array(row[1:4]), np.mean(figures[AN_EPOCH * n : AN_EPOCH * (n + 1)], axis=0), "sum_order")
        assert row[5] == pytest.approx(RATE * warmup_cosine(AN_EPOCH * (n + 1) - 1, STEPS, WARMUP))
    assert len(notes) == STEPS
    assert notes[5].startswith("epoch 2: loss ")
    assert trainer.state.history == history
    assert list(trainer.evaluations()) == []


@pytest.mark.parametrize(("patience", "evaluations"), [(1, 2), (2, 3), (None, 3)])
def test_training_ends_with_patience(patience: int | None, evaluations: int) -> None:
    task = Toy(losses=[1.0, 2.0, 3.0], patience=patience)
    assert len(list(trainer_of(task).evaluations())) == evaluations


def test_the_rate_falls_on_plateaus() -> None:
    task = Toy(losses=[1.0, 1.0, 1.0], plateau=RULE)
    trainer = trainer_of(task)
    rates: list[float] = []
    take = trainer.stepper.take
    trainer.stepper.take = lambda parts, rate, number: (rates.append(rate), take(parts, rate, number))[1]
    list(trainer.evaluations())
    assert rates == pytest.approx([RATE * warmup_cosine(n, STEPS, WARMUP) for n in range(STEPS)])
    assert trainer.state.plateau.factor == RULE.factor
    assert task.rate(0, trainer.state) == pytest.approx(RULE.factor * RATE / round(WARMUP * STEPS))


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_best_weights_come_back_and_what_moved_with_them(ema: float) -> None:
    task = Toy(losses=[2.0, 1.0, 3.0])
    trainer = trainer_of(task, ema)
    seen = []
    for _ in trainer.evaluations():
        kept = trainer.stepper.kept["linear"]["weight"]
        seen.append([np.array(kept), np.array(task.model.mean.value)])
    assert not np.allclose(seen[1][0], seen[2][0])
    trainer.restore_best()
    close(task.model.linear.weight, seen[1][0], "exact")
    close(task.model.mean.value, seen[1][1], "exact")


def test_a_step_draws_what_its_seed_and_number_say() -> None:
    task = Toy(seed=7)
    list(trainer_of(task).evaluations())
    for number, drawn in enumerate(task.draws):
        mx.random.seed((7 * 1_000_003 + number) % 2**32)
        assert drawn == float(mx.random.uniform())


@pytest.mark.parametrize(("figure", "name"), [(0, "loss"), (1, "error"), (2, "gradient norm")])
@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 2e15])
def test_a_figure_that_is_no_number_ends_it(figure: int, name: str, value: float) -> None:
    task = Toy()
    trainer, take = trainer_of(task), Step.take

    def wild(parts: object, rate: float, number: int) -> list[float]:
        found = take(trainer.stepper, parts, rate, number)
        found[figure] = value if number == 2 else found[figure]
        return found

    trainer.stepper.take = wild
    with pytest.raises(WotdError, match=rf"the {name} is {re.escape(f'{value:g}')} in step 3; lower the learning rate"):
        list(trainer.evaluations())
    assert trainer.state.step == 2
    with pytest.raises(WotdError, match="the loss is nan in the validation after step 4"):
        list(trainer_of(Toy(losses=[float("nan")])).evaluations())


def file_in(folder: Path, settings: str = "a") -> Checkpoint:
    return Checkpoint(folder / "checkpoint.safetensors", {"settings": settings}, "begin anew")


@pytest.mark.parametrize("saving", [True, False])
def test_killed_anywhere_it_is_the_same_training(tmp_path: Path, saving: bool) -> None:
    """Optimizer, averages, what moves, the best, plateaus and dropout: the same to the last bit."""

    def make() -> Trainer[ToyState]:
        return trainer_of(Toy(2, dropout=0.3, plateau=RULE, patience=9), ema=0.7)

    whole = make()
    history = list(whole.evaluations())
    for at in range(STEPS):
        file = file_in(tmp_path)
        with killed_before(at, saving):
            list(train(make(), file))
        again, counted = make(), list[int]()
        assert list(train(again, file, counted.append)) == history
        assert sum(counted) == STEPS
        for name, array in named(whole.arrays()).items():
            close(named(again.arrays())[name], array, "exact")
        close(again.task.model.linear.weight, whole.task.model.linear.weight, "exact")
        file.remove()


def test_a_checkpoint_is_written_each_so_many_seconds_and_at_each_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 0.0, list[tuple[float, int]]()
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)
    file, trainer = file_in(tmp_path), trainer_of(Toy())
    write = file.write
    monkeypatch.setattr(file, "write", lambda trainer: (written.append((now, trainer.state.step)), write(trainer))[1])

    def advance(n: int) -> None:
        nonlocal now
        now += 25.0

    list(train(trainer, file, advance))
    # Steps end at 25, 50 …; evaluations are after steps 4, 8 and 12.
    assert written == [(75.0, 3), (100.0, 4), (175.0, 7), (200.0, 8), (275.0, 11), (300.0, 12)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state | {"step": -1}, "state: step is -1, expected int >= 0"),
        (lambda state: state | {"pace": 1}, "state: unknown keys 'pace'"),
        (lambda state: state | {"sums": [1.0] * 4, "counted": 2}, "sums are 4 numbers, expected 3"),
        (lambda state: state | {"sums": [1.0] * 3, "counted": 0}, "sums are 3 numbers over 0 steps"),
    ],
)
def test_a_checkpoint_of_other_counters_is_refused(
    tmp_path: Path, change: Callable[[dict[str, object]], dict[str, object]], said: str
) -> None:
    file, trainer = file_in(tmp_path), trainer_of(Toy())
    assert not file.resume(trainer)
    file.write(trainer)
    stored = read_arrays(file.path, "")
    state = json.dumps(change(json.loads(stored.metadata["state"])))
    write_arrays(file.path, stored.arrays, stored.metadata | {"state": state})
    with pytest.raises(WotdError, match=f"{said}.*; begin anew"):
        file.resume(trainer_of(Toy()))


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    file_in(tmp_path).write(trainer_of(Toy()))
    with pytest.raises(WotdError, match=r"checkpoint\.safetensors doesn't belong to the settings here.*; begin anew"):
        file_in(tmp_path, "b").resume(trainer_of(Toy()))
    with pytest.raises(WotdError, match=r"arrays differ, such as averaged.*; begin anew"):
        file_in(tmp_path).resume(trainer_of(Toy(), ema=0.5))
