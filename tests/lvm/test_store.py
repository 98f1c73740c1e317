"""The files of a training: read whole or refused by name, and the old one kept when a new one can't be written."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, replace

import mlx.core as mx
import numpy as np
import pytest

from tests.tolerances import close
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.safetensors import named, read_arrays, write_arrays
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.store import ModelFolder, Settings, trained_models, untrained
from wotd_mlx.lvm.training.history import Epoch, PredictorState
from wotd_mlx.schemas import MissingError, WotdError
from wotd_mlx.training.schedule import Plateau

DIMS = 8
FILES = ("config", "history", "best", "final", "checkpoint")
ANEW = r"make it with `wotd-mlx lvm train gru`, or anew with --fresh"
HISTORY = [Epoch(n, 1.0, 0.1, 0.0, 1.0 / n, 0.1, 0.0, 1e-3, 1.0, 2.5, 1000 * n, n == 1) for n in (1, 2)]
HALFWAY = PredictorState(40, 3, 4, 4, [1.0, 2.0, 3.0, 4.0], 1.5, 9.0, 5.0, Plateau(1.0, 1, 1), HISTORY)


class Counting:
    """Stands for a trainer of three figures: arrays and a state alone."""

    def __init__(self, state=None, array=None):
        self.state, self.found = state or PredictorState(), {}
        self.array = mx.arange(4.0) if array is None else array

    def arrays(self):
        return {"a": self.array}

    def resume(self, arrays, state):
        self.found, self.state = arrays, state


def settings_of(name="gru", **changes):
    config = asdict(preset(name, "tiny", dims=DIMS, width=16, depth=1))
    recipe = Recipe(base="gates", ema=0.9)
    return Settings(**{**vars(Settings(name, "tiny", config, recipe, "x.npy", "d.tsv", "digest")), **changes})


def weights_of(settings):
    return named(untrained(settings).parameters())


def write(out, settings):
    """What a training leaves, with random weights; and a checkpoint."""
    made = ModelFolder(out, settings.name)
    made.write_settings(settings)
    mx.random.seed(0)
    made.write_weights(made.best, weights_of(settings), settings, HISTORY[:1])
    made.write_history(HISTORY)
    made.checkpoint_of(settings).write(Counting(HALFWAY))
    made.write_weights(made.final, weights_of(settings), settings, HISTORY)
    return made


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, settings_of())


def read(folder, which):
    """The file of a training, by what reads it."""
    settings = settings_of()
    return {
        "config": folder.settings,
        "history": folder.epochs,
        "best": folder.load,
        "final": lambda: folder.load(folder.final),
        "checkpoint": lambda: folder.checkpoint_of(settings).resume(Counting()),
    }[which]()


def refused(folder, which, message):
    with pytest.raises(WotdError, match=rf"{getattr(folder, which).name}.*{message}") as caught:
        read(folder, which)
    assert "\n" not in str(caught.value)
    return caught.value


def test_settings_and_weights_come_back_as_they_were(folder):
    assert folder.settings() == settings_of()
    model, found = folder.load()
    assert found == settings_of()
    assert not model.training
    kept = read_arrays(folder.best, "").arrays
    for name, weight in named(model.parameters()).items():
        close(weight, kept[name], "exact")
    assert mx.abs(folder.load(folder.final)[0].predictor.head.weight - kept["predictor.head.weight"]).max().item() > 0
    assert folder.epochs() == HISTORY
    trainer = Counting()
    assert folder.checkpoint_of(settings_of()).resume(trainer)
    assert trainer.state == HALFWAY
    assert trainer.found["a"].tolist() == [0, 1, 2, 3]


def test_weights_keep_the_type_that_a_large_model_is_trained_in(folder):
    weights = {name: weight.astype(mx.bfloat16) for name, weight in weights_of(settings_of()).items()}
    folder.write_weights(folder.best, weights, settings_of(), HISTORY[:1])
    assert {weight.dtype for weight in named(folder.load()[0].parameters()).values()} == {mx.bfloat16}
    whole = {name: weight.astype(mx.int32) for name, weight in weights.items()}
    folder.write_weights(folder.best, whole, settings_of(), HISTORY[:1])
    refused(folder, "best", r"doesn't fit: .* which is int32 \(.*\), expected float32")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, 0.999])
@pytest.mark.parametrize("which", ["best", "final", "checkpoint"])
def test_a_truncated_file_is_refused_by_name(folder, which, kept):
    file = getattr(folder, which)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept if isinstance(kept, int) else kept * len(content))])
    refused(folder, which, r"can't be read as safetensors .*--fresh")
    if which == "checkpoint":
        folder.final.unlink()
    with pytest.raises(WotdError, match=rf"{file.name} can't be read as safetensors"):
        folder.ended(settings_of())


@pytest.mark.parametrize("which", ["best", "final", "checkpoint"])
def test_numbers_that_were_changed_or_are_none_are_refused(folder, which):
    file = getattr(folder, which)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    refused(folder, which, "was changed or damaged after it was written")
    assert folder.ended(settings_of())
    if which != "checkpoint":
        with pytest.raises(WotdError, match=rf"{file.name} was changed or damaged"):
            folder.ended(settings_of(), whole=True)
    settings = settings_of()
    for number in (float("nan"), float("inf")):
        weights = weights_of(settings) | {"gates.bias": mx.full((6,), number)}
        folder.write_weights(folder.best, weights, settings, HISTORY[:1])
        folder.write_weights(folder.final, weights, settings, HISTORY)
        folder.checkpoint_of(settings).write(Counting(HALFWAY, mx.full((4,), number)))
        refused(folder, which, "holds numbers that aren't finite; .*--fresh")


@pytest.mark.parametrize("which", FILES)
@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda file: file.mkdir(), "is a folder, expected a file"),
        (os.mkfifo, "is a pipe, expected a file"),
        (lambda file: file.symlink_to(file), "can't be read"),
        (lambda file: file.symlink_to("/dev/zero"), "is a device, expected a file"),
        (lambda file: file.symlink_to("nowhere"), "--fresh"),
        (lambda file: None, "--fresh"),
    ],
    ids=["folder", "pipe", "loop", "device", "dangling", "nothing"],
)
def test_what_is_no_file_is_said(folder, which, put, message):
    file = getattr(folder, which)
    file.unlink()
    put(file)
    if which == "checkpoint" and not os.path.lexists(file):
        assert not read(folder, which)
        return
    assert isinstance(refused(folder, which, message), MissingError) == (message == "--fresh")


def test_another_models_weights_are_refused(folder):
    settings = settings_of()
    folder.write_weights(folder.best, weights_of(settings_of("lstm")), settings, HISTORY[:1])
    refused(folder, "best", rf"doesn't fit: 4 arrays differ, such as predictor.* expected .*; {ANEW}")
    weights = weights_of(settings)
    less = {name: weight for name, weight in weights.items() if name != "gates.bias"}
    folder.write_weights(folder.best, less, settings, HISTORY[:1])
    refused(folder, "best", r"1 arrays differ, such as gates\.bias, which is not there, expected float32 \(6,\)")
    folder.write_weights(folder.best, {**weights, "odd": mx.zeros(3)}, settings, HISTORY[:1])
    refused(folder, "best", r"1 arrays differ, such as odd, which is float32 \(3,\), expected not there")


@pytest.mark.parametrize("which", ["best", "final", "checkpoint"])
def test_weights_of_other_settings_are_refused(folder, which):
    other = settings_of(recipe=Recipe(base="gates", ema=0.9, seed=1))
    strangers = write(folder.path.parents[1].with_name("other"), other)
    getattr(strangers, which).replace(getattr(folder, which))
    refused(folder, which, "doesn't belong to the settings here: it was made from others; .*--fresh")
    if which == "checkpoint":
        folder.final.unlink()
    with pytest.raises(WotdError, match=rf"{getattr(folder, which).name} doesn't belong to the settings here"):
        folder.ended(settings_of())


def test_weights_that_do_not_say_what_made_them_are_refused(folder):
    write_arrays(folder.best, weights_of(settings_of()))
    refused(folder, "best", f"doesn't belong to the settings here: it doesn't say which; {ANEW}")


def test_where_the_data_lie_is_no_other_setting(folder):
    folder.write_settings(replace(settings_of(), data="elsewhere.tsv"))
    assert folder.load()[1].data == "elsewhere.tsv"
    assert folder.ended(folder.settings())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: [], r"it is \[\], expected keys and values"),
        (lambda raw: {}, "it lacks name"),
        (lambda raw: None, "it is None, expected keys and values"),
        (lambda raw: {**raw, "color": 1}, "unknown keys 'color'; known are name"),
        (lambda raw: {k: v for k, v in raw.items() if k != "digest"}, "it lacks digest"),
        (lambda raw: {**raw, "recipe": {"pace": 1}}, "recipe has unknown keys 'pace'"),
        (lambda raw: {**raw, "recipe": 3}, "recipe is 3, expected keys and values"),
        (lambda raw: {**raw, "recipe": {"epochs": "many"}}, "recipe.epochs is 'many', expected int"),
        (lambda raw: {**raw, "recipe": {"epochs": 0}}, "recipe.epochs is 0, expected int"),
        (lambda raw: {**raw, "recipe": {"batch": 10**12}}, "recipe.batch is 1000000000000, expected int"),
        (lambda raw: {**raw, "recipe": {"seed": -1}}, "recipe.seed is -1, expected int"),
        (lambda raw: {**raw, "recipe": {"base": "sum"}}, "recipe: recipe base is 'sum'"),
        (lambda raw: {**raw, "name": "gpt5"}, "unknown model 'gpt5'"),
        (lambda raw: {**raw, "name": "../../etc"}, "unknown model '../../etc'"),
        (lambda raw: {**raw, "name": 3}, "name is 3, expected str"),
        (lambda raw: {**raw, "embedding": None}, "embedding is None, expected str"),
        (lambda raw: {**raw, "valid": "much"}, "valid is 'much', expected float"),
        (lambda raw: {**raw, "valid": True}, "valid is True, expected float"),
        (lambda raw: {**raw, "valid": 1}, "valid is 1, expected float"),
        (lambda raw: {**raw, "architecture": {"dims": 8, "wings": 2}}, "architecture: unknown keys 'wings'"),
        (lambda raw: {**raw, "architecture": {"dims": "8"}}, "architecture: dims is '8', expected int"),
        (lambda raw: {**raw, "architecture": {}}, "architecture lacks dims"),
        (lambda raw: {**raw, "architecture": []}, r"architecture is \[\], expected keys and values"),
    ],
)
def test_a_damaged_config_is_refused(folder, change, message):
    folder.config.write_text(json.dumps(change(json.loads(folder.config.read_text()))))
    refused(folder, "config", f"{message}.*; {ANEW}")


@pytest.mark.parametrize("which", ["config", "history"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"nul", b"NaN", b'{"a": 1e999}', b"[" * 100_000])
def test_what_is_no_json_is_refused(folder, which, content):
    getattr(folder, which).write_bytes(content)
    refused(folder, which, f"; {ANEW}")


@pytest.mark.parametrize("what", ["data", "embedding"])
def test_a_name_that_no_file_of_settings_can_hold_is_refused(what):
    with pytest.raises(WotdError, match=rf"the name of the {what}, 'a\\udcff', is not UTF-8; rename it"):
        settings_of(**{what: os.fsdecode(b"a\xff")})


def test_another_architecture_than_made_the_weights_is_refused(folder):
    raw = json.loads(folder.config.read_text())
    raw["architecture"]["width"] = 7
    folder.config.write_text(json.dumps(raw))
    refused(folder, "best", "doesn't belong to the settings here")


def line(**changes):
    return asdict(HISTORY[0]) | changes


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "it is {}, expected a list"),
        ([3], r"\[0\] is 3, expected keys and values"),
        ([line(pace=1)], r"\[0\] has unknown keys 'pace'"),
        ([line(epoch=0)], r"\[0\]\.epoch is 0, expected int"),
        ([line(seconds="long")], r"\[0\]\.seconds is 'long', expected float"),
        ([line(peak_bytes=-1)], r"\[0\]\.peak_bytes is -1, expected int"),
        ([line(best=1)], r"\[0\]\.best is 1, expected bool"),
        ([line(), line()], "epoch 1 comes as number 2"),
        ([], "none of 0 epochs is the best"),
        ([line(best=False)], "none of 1 epochs is the best"),
    ],
)
def test_a_damaged_history_is_refused(folder, lines, message):
    folder.history.write_text(json.dumps(lines))
    refused(folder, "history", f"{message}.*; {ANEW}")


def test_a_history_of_another_training_is_refused(folder):
    folder.history.write_text(json.dumps([line(seconds=9, peak_bytes=9), asdict(HISTORY[1])]))
    assert [found.seconds for found in folder.epochs()] == [9, 2.5]
    for lines, which in (
        ([line(valid_loss=0.9), asdict(HISTORY[1])], "best_model"),
        ([line(), asdict(HISTORY[1]) | {"best": True}], "best_model"),
        ([line()], "final_model"),
    ):
        folder.history.write_text(json.dumps(lines))
        with pytest.raises(WotdError, match=rf"{which}\.safetensors doesn't belong to the history here.*; {ANEW}"):
            folder.epochs()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "it is None, expected keys and values"),
        ("{", "not JSON"),
        (asdict(HALFWAY) | {"epoch": 0}, "epoch is 0, expected int"),
        (asdict(HALFWAY) | {"epoch": 2}, "epoch is 2 after 2 in the history"),
        (asdict(HALFWAY) | {"step": 1.5}, "step is 1.5, expected int"),
        (asdict(HALFWAY) | {"sums": []}, "sums are 0 numbers over 4 steps"),
        (asdict(HALFWAY) | {"pace": 1}, "unknown keys 'pace'"),
        (asdict(HALFWAY) | {"plateau": {"factor": 2}}, "plateau.factor is 2, expected float"),
        (asdict(HALFWAY) | {"history": [line(), line()]}, "epoch 1 comes as number 2"),
    ],
)
def test_a_checkpoint_of_other_counters_is_refused(folder, state, message):
    text = state if isinstance(state, str) else json.dumps(state)
    write_arrays(folder.checkpoint, {"a": mx.arange(4.0)}, {**settings_of().made_from, "state": text})
    refused(folder, "checkpoint", f"state: {message}")


def test_a_checkpoint_without_the_best_weights_until_then_is_refused(folder):
    folder.best.unlink()
    with pytest.raises(MissingError, match=rf"no file .*best_model\.safetensors; {ANEW}"):
        folder.see_best()


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_files(folder, monkeypatch, failing):
    before = {file.name: file.read_bytes() for file in folder.path.iterdir()}

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        fdopen = os.fdopen

        class Full:
            """An open file on a disk that takes eight bytes more."""

            def __init__(self, file):
                self.file = file

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def __getattr__(self, name):
                return getattr(self.file, name)

            def write(self, data):
                self.file.write(bytes(data)[:8])
                full()

        monkeypatch.setattr(os, "fdopen", lambda *given, **more: Full(fdopen(*given, **more)))
    settings = settings_of(digest="other")
    weights = weights_of(settings)
    for write_one in (
        lambda: folder.write_settings(settings),
        lambda: folder.write_history(HISTORY[:1]),
        lambda: folder.write_weights(folder.best, weights, settings, HISTORY),
        lambda: folder.checkpoint_of(settings).write(Counting(HALFWAY)),
    ):
        with pytest.raises(OSError, match="No space left") as caught:
            write_one()
        assert str(caught.value.filename).startswith(str(folder.path))
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before
    monkeypatch.undo()
    folder.write_weights(folder.best, weights, settings, HISTORY)
    np.testing.assert_array_equal(read_arrays(folder.best, "").arrays["gates.bias"], weights["gates.bias"])


def test_models_whose_training_has_ended_are_found_in_the_order_of_sizes(tmp_path, folder, caplog):
    for name in ("rwkv", "lstm"):
        write(tmp_path, settings_of(name))
    ModelFolder(tmp_path, "s4").path.mkdir()
    assert trained_models(tmp_path) == ["lstm", "gru", "rwkv"]
    assert trained_models(tmp_path / "gone") == []
    assert not caplog.records
    folder.write_settings(settings_of(digest="other"))
    ModelFolder(tmp_path, "rwkv").best.unlink()
    assert trained_models(tmp_path) == ["lstm"]
    assert "gru is left out: " in caplog.text
    assert "final_model.safetensors doesn't belong to the settings here" in caplog.text
    assert "rwkv is left out: no file " in caplog.text


@pytest.mark.parametrize("left", range(6))
def test_what_a_kill_leaves_of_a_training_that_was_being_removed_belongs_to_its_settings(folder, left, monkeypatch):
    """Removed one after another, weights first: without its settings nothing is left of it."""
    unlink, removed = type(folder.config).unlink, []

    def dying(file, missing_ok=False):
        if len(removed) == left:
            raise KeyboardInterrupt
        removed.append(file)
        unlink(file, missing_ok)

    monkeypatch.setattr(type(folder.config), "unlink", dying)
    try:
        folder.clear()
    except KeyboardInterrupt:
        assert folder.config.exists()
    assert len(list(folder.path.iterdir())) == 5 - left
    assert folder.ended(settings_of()) == (left == 0)
