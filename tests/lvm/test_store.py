"""The files of a training: read whole or refused by name, and the old one kept when a new one can't be written."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tolerances import close
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import preset
from wotd_mlx.lvm.store import (
    ModelFolder,
    Settings,
    read_arrays,
    read_json,
    trained_models,
    untrained,
    write_arrays,
)
from wotd_mlx.lvm.training.recipe import Recipe
from wotd_mlx.schemas import WotdError

DIMS = 8


def settings_of(name="gru", **changes):
    config = asdict(preset(name, "tiny", dims=DIMS, width=16, depth=1))
    recipe = Recipe(base="gates", ema=0.9)
    return Settings(**{**vars(Settings(name, "tiny", config, recipe, "x.npy", "d.tsv", "digest")), **changes})


@pytest.fixture
def folder(tmp_path):
    """What a training leaves, with random weights."""
    made = ModelFolder(tmp_path, "gru")
    made.write_settings(settings_of())
    mx.random.seed(0)
    for file in (made.best, made.final):
        write_arrays(file, named(untrained(settings_of()).parameters()))
    return made


def test_settings_and_weights_come_back_as_they_were(folder):
    assert folder.settings() == settings_of()
    model, found = folder.load()
    assert found == settings_of()
    assert not model.training
    kept, _ = read_arrays(folder.best)
    for name, weight in named(model.parameters()).items():
        close(weight, kept[name], "exact")
    assert mx.abs(folder.load(folder.final)[0].predictor.head.weight - kept["predictor.head.weight"]).max().item() > 0


@pytest.mark.parametrize("kind", [mx.float32, mx.float16, mx.bfloat16, mx.int32, mx.uint32])
def test_arrays_keep_their_type_and_metadata(tmp_path, kind):
    arrays = {"a": mx.array([[1, 2], [3, 4]]).astype(kind), "b.0.c": mx.array(5).astype(kind)}
    write_arrays(tmp_path / "x.safetensors", arrays, {"step": "7", "text": '{"é": "\n"}'})
    found, metadata = read_arrays(tmp_path / "x.safetensors")
    assert metadata.items() >= {"step": "7", "text": '{"é": "\n"}'}.items()
    for name, array in arrays.items():
        assert found[name].dtype == kind
        assert mx.array_equal(found[name], array)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, 0.999])
@pytest.mark.parametrize("which", ["best", "checkpoint"])
def test_a_truncated_file_is_refused_by_name(folder, which, kept):
    content = folder.best.read_bytes()
    file = getattr(folder, which)
    file.write_bytes(content[: int(kept if isinstance(kept, int) else kept * len(content))])
    with pytest.raises(WotdError, match=rf"{file.name} can't be read as safetensors .*cut short: train again"):
        folder.load() if which == "best" else read_arrays(file)


@given(place=st.integers(0, 400), value=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_damaged_head_is_refused_or_harmless(tmp_path_factory, place, value):
    file = tmp_path_factory.mktemp("damaged") / "x.safetensors"
    write_arrays(file, {"a": mx.arange(6.0).reshape(2, 3), "b": mx.zeros(40)}, {"k": "v"})
    content = bytearray(file.read_bytes())
    content[min(place, len(content) - 1)] = value
    file.write_bytes(content)
    try:
        arrays, metadata = read_arrays(file)
        mx.eval(arrays)
    except WotdError:
        return
    assert isinstance(metadata, dict)
    assert all(isinstance(array, mx.array) for array in arrays.values())


def test_what_is_missing_is_said_with_what_makes_it(tmp_path, folder):
    with pytest.raises(WotdError, match=r"no .*lstm/config\.json; make it with `wotd-mlx lvm train lstm`"):
        ModelFolder(tmp_path, "lstm").load()
    folder.best.unlink()
    with pytest.raises(WotdError, match=r"no .*best_model\.safetensors; make it with `wotd-mlx lvm train gru`"):
        folder.load()
    folder.best.mkdir()
    with pytest.raises(WotdError, match=r"best_model\.safetensors can't be read as safetensors"):
        folder.load()


def test_another_models_weights_are_refused(folder):
    other = untrained(settings_of("lstm"))
    write_arrays(folder.best, named(other.parameters()))
    with pytest.raises(WotdError, match=r"best_model\.safetensors doesn't fit gru: 4 weights differ, such as pred"):
        folder.load()
    weights = named(untrained(settings_of()).parameters())
    write_arrays(folder.best, {name: weight for name, weight in weights.items() if name != "gates.bias"})
    with pytest.raises(WotdError, match=r"1 weights differ, such as gates\.bias missing, expected \(6,\)"):
        folder.load()
    write_arrays(folder.best, {**weights, "odd": mx.zeros(3)})
    with pytest.raises(WotdError, match=r"1 weights differ, such as odd \(3,\), expected none"):
        folder.load()


def changed(**changes):
    return lambda raw: {**raw, **changes}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: [], "is no training's config.json"),
        (lambda raw: {}, "is no training's config.json"),
        (changed(color=1), "is no training's config.json"),
        (lambda raw: {k: v for k, v in raw.items() if k != "digest"}, "is no training's config.json"),
        (changed(recipe={"pace": 1}), "config.json: recipe: unknown keys pace"),
        (changed(recipe=3), "config.json: recipe: got int, expected keys and values"),
        (changed(recipe={"epochs": "many"}), "recipe.epochs: got 'many', expected int"),
        (changed(recipe={"epochs": 0}), "recipe epochs is 0; expected 1 or more"),
        (changed(name="gpt5"), "unknown model 'gpt5'"),
        (changed(name=3), "name is 3, expected"),
        (changed(embedding=None), "embedding is None, expected"),
        (changed(valid="much"), "valid is 'much', expected"),
        (changed(valid=True), "valid is True, expected"),
        (changed(architecture={"dims": 8, "wings": 2}), "config.json: architecture: unknown keys wings"),
        (changed(architecture={"dims": "8"}), "architecture.dims: got '8', expected int"),
        (changed(architecture=[]), "architecture: got list, expected keys and values"),
    ],
)
def test_a_damaged_config_is_refused(folder, change, message):
    raw = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps(change(raw)))
    with pytest.raises(WotdError, match=message) as caught:
        folder.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"nul"])
def test_a_config_that_is_no_json_is_refused(folder, content):
    folder.config.write_bytes(content)
    with pytest.raises(WotdError, match=r"config\.json can't be read \(.*\); train again into another folder"):
        folder.settings()
    with pytest.raises(WotdError, match=r"can't be read"):
        read_json(folder.path)


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
    weights = named(untrained(settings_of()).parameters())
    for write in (
        lambda: folder.write_settings(settings_of(digest="other")),
        lambda: write_arrays(folder.best, weights),
        lambda: write_arrays(folder.checkpoint, weights, {"progressed": "{}"}),
    ):
        with pytest.raises(OSError, match="No space left") as caught:
            write()
        assert str(caught.value.filename).startswith(str(folder.path))
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before
    monkeypatch.undo()
    write_arrays(folder.best, weights)
    np.testing.assert_array_equal(read_arrays(folder.best)[0]["gates.bias"], weights["gates.bias"])


def test_models_whose_training_has_ended_are_found_in_the_order_of_sizes(tmp_path, folder):
    for name in ("lcm", "lstm"):
        write_arrays(ModelFolder(tmp_path, name).final, {"a": mx.zeros(1)})
    ModelFolder(tmp_path, "s4").write_settings(settings_of())
    assert trained_models(tmp_path) == ["lstm", "gru", "lcm"]
    assert trained_models(tmp_path / "gone") == []
