"""Training: the same curve after a kill, micro-batches that change nothing, a limit that is kept, whole files."""

from __future__ import annotations

import gc
import json
import re
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from tests.training.interrupt import killed_before
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.lock import locked
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.data.sentences import Sentences, split_by_article
from wotd_mlx.lvm.parts.residual import NextVector
from wotd_mlx.lvm.store import ModelFolder, Settings
from wotd_mlx.lvm.training import train as training
from wotd_mlx.lvm.training.history import PredictorState
from wotd_mlx.lvm.training.memory import fit_into
from wotd_mlx.lvm.training.task import PredictorTask
from wotd_mlx.schemas import BusyError, MissingError, TooLargeError, WotdError
from wotd_mlx.training import checkpoint
from wotd_mlx.training.layerwise import Layerwise
from wotd_mlx.training.step import Step
from wotd_mlx.training.trainer import Trainer

DIMS = 16
RECIPE = Recipe(context=6, epochs=3, batch=8, learning_rate=3e-3, contrastive=0.1, negatives=32, base="gates", ema=0.9)
PLAIN = Recipe(context=6, epochs=3, batch=8, learning_rate=3e-3)
BLOCKS = replace(PLAIN, epochs=2, batch=16)
CONFIGS = {
    "gru": {"dims": DIMS, "width": 24, "depth": 2, "dropout": 0.1},
    "lcm": {"dims": DIMS, "width": 64, "depth": 4, "heads": 2, "inner": 128, "dropout": 0.1},
}
TIGHT = 4_000_000
"""Bytes: too few for AdamW on all of the lcm's 170,000 parameters, which would take 5 MB."""


@pytest.fixture(scope="module")
def data():
    """Forty articles whose vectors walk slowly, so that there is something to learn."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 20, 40)
    rows = []
    for length in lengths:
        steps = rng.normal(size=(length, DIMS)) + 3 * rng.normal(size=DIMS)
        rows.append(np.cumsum(steps, axis=0))
    x = np.concatenate(rows)
    starts = np.cumsum([0, *lengths])
    texts = tuple(f"sentence {n}" for n in range(len(x)))
    sentences = Sentences(texts, starts, tuple(map(str, range(40))), ("",) * 40)
    return sentences, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def settings(recipe=RECIPE, name="gru") -> Settings:
    return Settings(name, "tiny", CONFIGS[name], recipe, "vectors.npy", "data.tsv", "digest")


def run(folder, data, recipe=RECIPE, name="gru", limit=8 << 30, **more):
    return list(training.train(settings(recipe, name), *data, folder, limit, **more))


def figures(history):
    return [[v for k, v in vars(e).items() if k not in ("seconds", "peak_bytes")] for e in history]


def active_bytes() -> int:
    """What other tests' models hold."""
    gc.collect()
    return mx.get_active_memory()


def test_it_learns_and_leaves_whole_files(tmp_path, data):
    history = run(tmp_path, data)
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert history[-1].train_loss < history[0].train_loss
    folder = ModelFolder(tmp_path, "gru")
    assert {f.name for f in folder.path.iterdir()} - {".lock"} == {
        "best_model.safetensors",
        "final_model.safetensors",
        "training_history.json",
        "config.json",
    }
    model, found = folder.load()
    assert found == settings()
    x = mx.array(data[1][:5])[None]
    assert model(x)[0].shape == (1, 5, DIMS)
    assert len(json.loads(folder.history.read_text())) == 3


@pytest.mark.parametrize(
    ("stepper", "name", "recipe", "limit", "at"),
    [(Step, "gru", RECIPE, 8 << 30, (1, 9)), (Layerwise, "lcm", BLOCKS, TIGHT, (6,))],
    ids=["all_at_once", "by_blocks"],
)
def test_a_killed_training_goes_on_with_the_same_curve(tmp_path, data, stepper, name, recipe, limit, at):
    whole = run(tmp_path / "whole", data, recipe, name, limit)
    for step in at:
        out, seen = tmp_path / f"killed{step}", []
        with killed_before(step, kind=stepper, model=NextVector):
            seen.extend(training.train(settings(recipe, name), *data, out, limit))
        seen += run(out, data, recipe, name, limit)
        assert figures(ModelFolder(out, name).epochs()) == figures(whole)
        weights = [named(ModelFolder(tmp_path / which, name).load()[0].parameters()) for which in ("whole", out.name)]
        for key, weight in weights[0].items():
            close(weights[1][key].astype(mx.float32), weight.astype(mx.float32), "exact")


def test_what_does_not_fit_at_once_is_trained_block_by_block(tmp_path, data, caplog):
    caplog.set_level("INFO", logger="wotd_mlx")
    start = active_bytes()
    history = run(tmp_path, data, replace(PLAIN, epochs=2), "lcm", TIGHT)
    assert "AdamW on 0.2M parameters takes 0.00 GB" in caplog.text
    assert "block by block in bfloat16 with Adafactor" in caplog.text
    assert history[-1].train_loss < 0.9 * history[0].train_loss
    assert max(epoch.peak_bytes for epoch in history) - start < TIGHT
    model, _ = ModelFolder(tmp_path, "lcm").load()
    types = {key: weight.dtype for key, weight in named(model.parameters()).items()}
    assert types.pop("predictor.centre") == types.pop("predictor.spread") == mx.float32
    assert set(types.values()) == {mx.bfloat16}
    y, _ = model(mx.array(data[1][:5])[None])
    assert y.shape == (1, 5, DIMS)
    assert y.dtype == mx.float32


def test_weights_that_do_not_fit_never_stand_in_float32(data):
    deep = replace(settings(PLAIN, "lcm"), architecture=CONFIGS["lcm"] | {"depth": 24})
    start = active_bytes()
    mx.reset_peak_memory()
    trainer = training.trainer_for(deep, *data, TIGHT)
    assert isinstance(trainer.stepper, Layerwise)
    assert mx.get_peak_memory() - start < 4 * trainer.task.model.predictor.size


def test_what_others_hold_is_not_the_trainings(data):
    """A plan beside 400 MB of something else is the plan without it."""
    shallow = settings(PLAIN, "lcm")
    alone = training.trainer_for(shallow, *data, TIGHT)
    other = mx.zeros((100_000_000,))
    mx.eval(other)
    beside = training.trainer_for(shallow, *data, TIGHT)
    assert isinstance(alone.stepper, Layerwise)
    assert isinstance(beside.stepper, Layerwise)
    windows = [training.trainer_for(settings(PLAIN, "gru"), *data, 3_000_000).task.parts]
    del other
    windows.append(training.trainer_for(settings(PLAIN, "gru"), *data, 3_000_000).task.parts)
    assert windows[0] == windows[1]


@pytest.mark.parametrize(
    ("name", "recipe", "limit", "message"),
    [
        ("gru", PLAIN, 100_000, r"AdamW on .* takes .*, the limit is .* no training block by block \(.* raise --mem"),
        (
            "lcm",
            RECIPE,
            TIGHT,
            r"block by block has no contrastive, ema, base; leave that out, or raise --memory-limit",
        ),
        (
            "gru",
            replace(RECIPE, batch=2**31 - 1),
            8 << 30,
            r"a batch of 2,147,483,647 windows of 6 vectors takes 2,304\.00 GB, .* 8\.00 GB; lower --batch or",
        ),
        ("lcm", PLAIN, 500_000, r"block by block it takes 0\.00 GB: raise --memory-limit"),
        ("lcm", replace(PLAIN, batch=999), TIGHT, r"999 windows of 6 .* block by block.* lower --batch or --context"),
    ],
)
def test_what_fits_in_no_way_is_refused(tmp_path, data, name, recipe, limit, message):
    with pytest.raises(TooLargeError, match=message):
        run(tmp_path, data, recipe, name, limit)
    # Nothing stands in the way of settings that fit.
    assert [file.name for file in ModelFolder(tmp_path, name).path.iterdir()] == [".lock"]


def test_a_checkpoint_of_the_other_way_is_refused(tmp_path, data, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    trained = training.train(settings(PLAIN, "lcm"), *data, tmp_path, TIGHT)
    next(trained)
    trained.close()
    with pytest.raises(
        WotdError, match=r"checkpoint\.safetensors doesn't fit: .*train under the --memory-limit that it was begun"
    ):
        run(tmp_path, data, PLAIN, "lcm")


def test_micro_batches_change_nothing(data):
    sentences, vectors = data
    recipe = replace(RECIPE, precision="float32")
    config = replace(preset("gru", "tiny", dims=DIMS), width=24, depth=1, dropout=0.0)
    results = []
    for parts in (1, 3):
        mx.random.seed(0)
        model = training.untrained(replace(settings(recipe), architecture=vars(config)))
        task = PredictorTask(model, sentences, vectors, split_by_article(sentences), recipe)
        task.parts, step = parts, task.step()
        mx.random.seed(1)
        results.append((step.take(next(task.batches(1, 0)), 3e-3, 0), named(step.parameters)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for name, weight in results[0][1].items():
        close(results[1][1][name], weight, "sum_order")


@pytest.mark.parametrize("name", CONFIGS)
def test_recomputed_activations_change_nothing(data, name):
    sentences, vectors = data
    found = []
    for recomputing in (False, True):
        mx.random.seed(0)
        # Recomputed layers draw what they drop from keys of their own.
        whole = replace(settings(name=name), architecture={**CONFIGS[name], "dropout": 0.0})
        model = training.untrained(whole)
        model.predictor.recomputing = recomputing
        task = PredictorTask(model, sentences, vectors, split_by_article(sentences), replace(RECIPE, base="none"))
        model.train()
        mx.random.seed(3)
        found.append(named(task.step().gradients(next(task.batches(1, 0)))[2]))
    for key, gradient in found[0].items():
        close(found[1][key], gradient, "sum_order")


def test_a_memory_limit_is_kept_by_taking_fewer_windows(data, caplog):
    sentences, vectors = data
    recipe = replace(RECIPE, batch=64, negatives=512)
    start = active_bytes()
    task = PredictorTask(training.untrained(settings()), sentences, vectors, split_by_article(sentences), recipe)
    trainer = Trainer(task, task.step(), PredictorState())
    fit_into(trainer, 8 << 30)
    assert task.parts == 1
    limit = 4_000_000
    fit_into(trainer, limit)
    assert task.parts > 1
    mx.clear_cache()
    mx.reset_peak_memory()
    trainer.stepper.take(next(task.batches(1, 0)), 3e-3, 0)
    assert mx.get_peak_memory() - start <= limit
    with pytest.raises(WotdError, match=r"one window of 6 vectors takes .* the limit is .* raise --memory-limit"):
        fit_into(trainer, 100_000)


def test_other_settings_and_ended_trainings_are_left_alone(tmp_path, data):
    run(tmp_path, data)
    assert run(tmp_path, data) == []
    with pytest.raises(WotdError, match=r"other settings \(recipe epochs 3, now 4\); give --fresh"):
        run(tmp_path, data, replace(RECIPE, epochs=4))
    assert len(run(tmp_path, data, replace(RECIPE, epochs=4), fresh=True)) == 4


def halfway(folder, data, recipe=PLAIN):
    """A training that was killed after its first epoch."""
    trained = training.train(settings(recipe), *data, folder, 8 << 30)
    next(trained)
    trained.close()
    return ModelFolder(folder, "gru")


@pytest.mark.parametrize("which", ["final", "checkpoint", "best"])
def test_weights_left_from_other_settings_are_neither_taken_nor_gone_on_from(tmp_path, data, which):
    """As an older program leaves them, or somebody who copies files about."""
    other = halfway(tmp_path / "other", data, replace(PLAIN, seed=1))
    strange = other.checkpoint if which == "checkpoint" else other.best
    folder = halfway(tmp_path / "out", data)
    strange.replace(getattr(folder, which))
    for config in (folder.config.read_bytes(), None):
        if config is None:
            folder.config.unlink()
        with pytest.raises(
            WotdError, match=rf"{getattr(folder, which).name} doesn't belong to the settings here: .*--fr"
        ):
            run(tmp_path / "out", data, PLAIN)
    assert len(run(tmp_path / "out", data, PLAIN, fresh=True)) == 3
    assert folder.load()[1] == settings(PLAIN)


def test_a_training_whose_best_weights_are_gone_has_not_ended(tmp_path, data):
    run(tmp_path, data, PLAIN)
    folder = ModelFolder(tmp_path, "gru")
    folder.best.unlink()
    with pytest.raises(MissingError, match=r"no file .*best_model\.safetensors; .*--fresh"):
        run(tmp_path, data, PLAIN)


def test_a_history_left_from_another_training_is_not_the_new_ones(tmp_path, data):
    """It is that of the checkpoint which is gone on from; where there is none, it is no one's."""
    run(tmp_path / "whole", data, PLAIN)
    strange = ModelFolder(tmp_path / "whole", "gru").history.read_bytes()
    folder = halfway(tmp_path / "out", data)
    folder.history.write_bytes(strange)
    seen = []
    trained = training.train(settings(PLAIN), *data, tmp_path / "out", 8 << 30)
    seen.append(next(trained))
    assert [line.epoch for line in folder.epochs()] == [1, 2]
    trained.close()
    folder.checkpoint.unlink()
    folder.history.write_bytes(strange)
    next(training.train(settings(PLAIN), *data, tmp_path / "out", 8 << 30))
    assert [line.epoch for line in folder.epochs()] == [1]


def test_a_checkpoint_within_the_first_epoch_is_gone_on_from(tmp_path, data):
    """No epoch has ended yet, so there is no best loss; a number that stands for none is no JSON."""
    with killed_before(3, model=NextVector):
        run(tmp_path, data, PLAIN)
    folder = ModelFolder(tmp_path, "gru")
    trainer = training.trainer_for(settings(PLAIN), *data, 8 << 30, folder)
    assert trainer.state.batch == 3
    assert trainer.state.plateau.best is None
    assert len(run(tmp_path, data, PLAIN)) == 3


def test_one_process_trains_in_a_folder(tmp_path, data):
    with locked(ModelFolder(tmp_path, "gru").path), pytest.raises(BusyError, match="another training is writing to"):
        run(tmp_path, data, PLAIN)


@pytest.mark.parametrize(("figure", "value"), [(0, float("inf")), (1, -float("inf")), (2, float("nan")), (3, 1e16)])
def test_a_figure_that_is_no_number_is_told(tmp_path, data, monkeypatch, figure, value):
    """No JSON can hold it: neither the checkpoint nor the history."""
    take = Step.take

    def wild(self, parts, rate, number):
        found = take(self, parts, rate, number)
        found[figure] = value
        return found

    monkeypatch.setattr(Step, "take", wild)
    with pytest.raises(
        WotdError, match=rf"the (loss|cosine|margin|gradient norm) is {re.escape(f'{value:g}')} in step 1; low"
    ):
        run(tmp_path, data, PLAIN)
    monkeypatch.setattr(Step, "take", take)
    monkeypatch.setattr(PredictorTask, "evaluate", lambda self: [float("nan"), 0.0, 0.0])
    with pytest.raises(WotdError, match=r"the loss is nan in the validation after step"):
        run(tmp_path, data, PLAIN)


def test_a_context_longer_than_any_article_and_a_wild_loss_are_refused(tmp_path, data):
    with pytest.raises(WotdError, match=r"--context 19 is longer than any article.*give --context 18 or less"):
        training.settings_for("gru", "tiny", replace(RECIPE, context=19), *data, "e", tmp_path / "d.tsv")
    with pytest.raises(WotdError, match="lower the learning rate"):
        run(tmp_path, data, replace(RECIPE, learning_rate=1e9, contrastive=0.0, clip=1e9))
