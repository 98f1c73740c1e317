"""A low-rank delta: what it adds, what is kept of it, and what a file that doesn't fit is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from tests.conftest import write_checkpoint
from tests.tolerances import close
from wotd_mlx.embed import models
from wotd_mlx.embed.bert import Bert, load_bert
from wotd_mlx.embed.delta import add_delta, load_encoder, merge_delta, version_of, write_delta
from wotd_mlx.embed.embedder import BertEmbedder
from wotd_mlx.io.safetensors import named, read_metadata
from wotd_mlx.schemas import WotdError

IDS = mx.array([[2, 7, 9, 11, 3], [2, 20, 8, 5, 3]])
LAYERS = ("qkv", "out", "up", "down")


def tuned(checkpoint: Path, seed: int = 0, rank: int = 3) -> Bert:
    """An encoder whose delta is random, in numbers that float16 has."""
    _, bert = load_bert(checkpoint, "mean")
    add_delta(bert, rank, seed)
    rng = np.random.default_rng(seed)
    for layer in bert.layers:
        for name in LAYERS:
            dense = layer[name]
            dense.a = mx.array(rng.normal(0, 0.1, dense.a.shape).astype(np.float16).astype(np.float32))
            dense.b = mx.array(rng.normal(0, 0.1, dense.b.shape).astype(np.float16).astype(np.float32))
    return bert


def test_a_delta_starts_at_nothing_and_is_all_that_is_trained(checkpoint):
    _, plain = load_bert(checkpoint, "mean")
    _, bert = load_bert(checkpoint, "mean")
    add_delta(bert, 3, 0)
    close(bert(IDS), plain(IDS), "exact")
    assert sorted(named(bert.trainable_parameters())) == sorted(
        f"layers.{i}.{name}.{part}" for i in range(2) for name in LAYERS for part in "ab"
    )


def test_the_same_seed_starts_the_same(checkpoint):
    starts = []
    for seed in (0, 0, 1):
        _, bert = load_bert(checkpoint, "mean")
        add_delta(bert, 3, seed)
        starts.append(np.array(bert.layers[1].up.a))
    assert (starts[0] == starts[1]).all()
    assert (starts[0] != starts[2]).any()


def test_a_merged_delta_is_the_one_beside_the_weights(checkpoint, tmp_path):
    bert = tuned(checkpoint)
    write_delta(tmp_path / "delta.safetensors", bert, "maker/name")
    _, merged = load_bert(checkpoint, "mean")
    merge_delta(merged, tmp_path / "delta.safetensors", "maker/name")
    layer, before = bert.layers[0].up, load_bert(checkpoint, "mean")[1].layers[0].up.weight
    want = np.array(before, float) + np.array(layer.a, float) @ np.array(layer.b, float)
    close(merged.layers[0].up.weight, want, "sum_order")
    close(merged(IDS), bert(IDS), "embedding")
    assert named(merged.parameters()).keys() == named(load_bert(checkpoint, "mean")[1].parameters()).keys()


def test_a_quarter_of_a_delta_moves_the_weights_a_quarter_as_far(checkpoint, tmp_path):
    bert, file = tuned(checkpoint), tmp_path / "delta.safetensors"
    moved = []
    for share in (1.0, 0.25):
        write_delta(file, bert, "maker/name", share)
        _, merged = load_bert(checkpoint, "mean")
        before = np.array(merged.layers[1].down.weight)
        merge_delta(merged, file, "maker/name")
        moved.append(np.array(merged.layers[1].down.weight) - before)
    close(moved[1], moved[0] / 4, "sum_order")


def test_the_same_delta_gives_the_same_bytes(checkpoint, tmp_path):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in files:
        write_delta(file, tuned(checkpoint), "maker/name")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_another_models_delta_is_refused(checkpoint, tmp_path):
    file = tmp_path / "delta.safetensors"
    write_delta(file, tuned(checkpoint), "maker/name")
    _, bert = load_bert(checkpoint, "mean")
    with pytest.raises(WotdError, match=r"delta\.safetensors doesn't belong to the base here"):
        merge_delta(bert, file, "maker/other")


@pytest.mark.parametrize(("shape", "told"), [({"width": 64}, "layers.0.down"), ({"layers": 1}, "layers.1.down.a")])
def test_a_checkpoint_of_another_shape_is_refused(checkpoint, tmp_path, shape, told):
    file = tmp_path / "delta.safetensors"
    write_delta(file, tuned(checkpoint), "maker/name")
    _, other = load_bert(write_checkpoint(tmp_path / "other", **shape), "mean")
    before = np.array(other.layers[0].qkv.weight)
    with pytest.raises(WotdError, match=r"doesn't fit: \d+ arrays differ") as error:
        merge_delta(other, file, "maker/name")
    assert told in str(error.value)
    assert (np.array(other.layers[0].qkv.weight) == before).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_refused(checkpoint, tmp_path, share):
    file = tmp_path / "delta.safetensors"
    write_delta(file, tuned(checkpoint), "maker/name")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    _, bert = load_bert(checkpoint, "mean")
    with pytest.raises(WotdError, match="install wotd-mlx again"):
        merge_delta(bert, file, "maker/name")


@pytest.fixture
def registered(checkpoint, tmp_path, monkeypatch):
    """A registered model of two versions of a delta, whose base's checkpoint is at hand."""
    file = tmp_path / "delta.safetensors"
    write_delta(file, tuned(checkpoint), "maker/base")
    base = models.EmbeddingModel("maker/base", 32, "mean", 64)
    derived = replace(base, id="ours/derived", delta=file, base=base.id)
    monkeypatch.setattr(models, "MODELS", {model.id: model for model in (base, derived)})
    monkeypatch.setattr("wotd_mlx.embed.embedder.MODELS", models.MODELS)
    asked = []

    def find(source, download):
        asked.append(source.id)
        return checkpoint

    monkeypatch.setattr(models, "find_weights", find)
    return derived, file, asked


def test_a_registered_model_is_its_bases_checkpoint_with_the_delta(registered, checkpoint):
    model, _, asked = registered
    _, bert = load_encoder(model, models.resolve(model))
    assert asked == ["maker/base"]
    close(bert(IDS), tuned(checkpoint)(IDS), "embedding")
    _, plain = load_encoder(models.MODELS["maker/base"], checkpoint)
    assert np.abs(np.array(plain(IDS) - bert(IDS))).max() > 0.01


def test_vectors_are_kept_under_the_deltas_digest(registered, checkpoint, tmp_path):
    model, file, _ = registered
    first = version_of(model)
    assert first == f"ours/derived@{read_metadata(file, '')['digest']}"
    assert BertEmbedder("derived")._key == first
    assert BertEmbedder("base")._key == "maker/base"
    write_delta(file, tuned(checkpoint, seed=1), "maker/base")
    assert version_of(model) != first
