"""What `wotd-mlx export lvm:NAME` leaves, and that each of the thirteen converts."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, replace

import mlx.core as mx
import numpy as np
import pytest
from click.testing import CliRunner
from mlx.utils import tree_map

from converters import coreml
from tests.tolerances import close
from wotd_mlx.cli import main
from wotd_mlx.config.export import ExportConfig
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.export import predictor
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm import NAMES, preset
from wotd_mlx.lvm.store import ModelFolder, Settings, untrained
from wotd_mlx.schemas import WotdError

DIMS, CONTEXT = 24, 5


@pytest.fixture(autouse=True, scope="module")
def _few_contexts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "CHECKED", 40)
        yield


def settings(name: str, data: str = "gone.tsv", embedding: str = "gone.npy") -> Settings:
    """A training over the scalars, at a size for tests."""
    config = preset(name, "tiny", dims=DIMS)
    return Settings(name, "tiny", asdict(config), Recipe(context=CONTEXT, base="gates"), embedding, data, "0")


def drawn(found: Settings):
    """The model, its weights moved: a head of zeros, as a training starts with, would hide what is wrong before it."""
    mx.random.seed(0)
    model = untrained(found)
    model.update(tree_map(lambda w: w + 0.1 * mx.random.normal(w.shape), model.parameters()))
    mx.eval(model.parameters())
    return model.eval()


def trained(folder, name: str, **where: str) -> ModelFolder:
    """What a training leaves that an export reads."""
    made, found = ModelFolder(folder, name), settings(name, **where)
    made.write_settings(found)
    made.write_weights(made.best, named(drawn(found).parameters()), found, [])
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight articles of 6 to 41 sentences, and their vectors."""
    folder = tmp_path_factory.mktemp("data")
    rows = [(a, s, f"Sentence {s} of {a}.") for a in range(8) for s in range(6 + 5 * a)]
    with (folder / "wiki.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([("article_id", "sent_idx", "sentence"), *rows])
    x = np.random.default_rng(0).normal(size=(len(rows), DIMS)).astype(np.float32)
    np.save(folder / "x.npy", x / np.linalg.norm(x, axis=1, keepdims=True))
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".mlpackage", ".aimodel"])
def test_each_of_the_thirteen_converts(name, suffix, tmp_path):
    if suffix == ".aimodel":
        pytest.importorskip("coreai", reason="needs the extra `coreai`")
    function = predictor.Predict(drawn(settings(name)))
    x = np.random.default_rng(0).normal(size=(2, 1, CONTEXT, DIMS)).astype(np.float32) * DIMS**-0.5
    report = coreml.convert(function, [{"x": mx.array(row)} for row in x], tmp_path / f"made{suffix}")
    assert report.psnr_db["prediction"] >= (90 if suffix == ".mlpackage" else 115)
    [out] = report.outputs
    assert out == "prediction"


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory):
    """A whole export by the command line: the folder, the line it printed, the training."""
    run, out = tmp_path_factory.mktemp("lvm"), tmp_path_factory.mktemp("bundles") / "bundle"
    made = trained(run, "distilgpt2", data=str(data / "wiki.tsv"), embedding=str(data / "x.npy"))
    argv = ["export", "lvm:distilgpt2", "--run", str(run), "--out", str(out), "--json"]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0, result.output
    return out, json.loads(result.stdout), made


def test_command_prints_one_object(bundle):
    out, row, _ = bundle
    assert list(row) == ["package", "bytes", "psnr_db", "codes_equal"]
    assert row["package"] == str(out / "Predictor.mlpackage")
    assert row["bytes"] == sum(f.stat().st_size for f in (out / "Predictor.mlpackage").rglob("*") if f.is_file())
    assert row["psnr_db"] >= 50
    assert row["codes_equal"] is None


def test_bundle_holds_what_it_says(bundle):
    out, row, made = bundle
    assert sorted(p.name for p in out.iterdir()) == ["Predictor.mlpackage", "fixtures.json", "manifest.json"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["kind"] == "lvm:distilgpt2"
    assert manifest["inputs"] == [{"name": "x", "shape": [1, CONTEXT, DIMS], "dtype": "float32"}]
    assert manifest["outputs"] == [{"name": "prediction", "shape": [1, DIMS], "dtype": "float32"}]
    assert manifest["precision"] == "float16"
    assert manifest["predictor"]["context"] == CONTEXT
    assert manifest["predictor"]["parameters"] == made.load()[0].predictor.size
    assert manifest["embedding"]["dimensions"] == DIMS
    assert manifest["verification"]["contexts"].startswith("sentences of ")
    assert manifest["verification"]["outputs"]["prediction"]["psnr_db"] == row["psnr_db"]
    assert (manifest["swift_package"], manifest["verification"]["codes_equal"]) == (None, None)
    assert "codes" not in manifest
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_fixtures_are_the_models_and_the_packages(bundle, data):
    out, row, made = bundle
    model, _ = made.load()
    vectors = np.load(data / "x.npy").round(7)
    cases = json.loads((out / "fixtures.json").read_text())["cases"]
    assert len(cases) == 2 + 20  # of the shortest article and of the longest
    for case in cases[::8]:
        x = np.array([case["x"]], np.float32)
        assert (np.abs(vectors - x[0, 0]).max(axis=1) < 1e-6).any()
        close(model(mx.array(x))[0][:, -1], np.array([case["prediction"]]), "sum_order")
        got = coreml.run(row["package"], {"x": x})
        close(got["prediction"], np.array([case["prediction"]]), "executor_half")


def test_another_context(data, tmp_path):
    trained(tmp_path / "run", "linformer", data=str(data / "wiki.tsv"), embedding=str(data / "x.npy"))
    made = predictor.export_predictor(tmp_path / "run", "linformer", tmp_path / "bundle", ExportConfig(context=16))
    assert made.checked == "contexts"
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["inputs"][0]["shape"] == [1, 16, DIMS]
    case = json.loads((tmp_path / "bundle" / "fixtures.json").read_text())["cases"][0]
    assert np.shape(case["x"]) == (16, DIMS)


def test_contexts_are_neighbours_in_one_article(data, monkeypatch):
    monkeypatch.setattr(predictor, "CHECKED", 200)
    found = replace(settings("gru"), data=str(data / "wiki.tsv"), embedding=str(data / "x.npy"))
    contexts, _ = predictor._contexts(found, 16)
    assert 20 < len(contexts) <= 200
    vectors, starts = np.load(data / "x.npy"), np.cumsum([0, *(6 + 5 * a for a in range(8))])
    first = [int(np.flatnonzero((vectors == context[0]).all(axis=1))[0]) for context in contexts]
    assert len(set(first)) == len(first)
    for row, context in zip(first, contexts, strict=True):
        close(context, vectors[row : row + 16], "exact")
        assert np.searchsorted(starts, row, "right") == np.searchsorted(starts, row + 15, "right")


def test_without_data_contexts_are_made_up(tmp_path, caplog):
    trained(tmp_path / "run", "linformer")
    predictor.export_predictor(tmp_path / "run", "linformer", tmp_path / "bundle", ExportConfig("float32"))
    assert "made-up contexts, since real ones can't be had: no file gone.tsv" in caplog.text
    verification = json.loads((tmp_path / "bundle" / "manifest.json").read_text())["verification"]
    assert verification["contexts"].startswith("made up")
    assert verification["outputs"]["prediction"]["psnr_db"] >= 90


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["lvm:student"], "unknown model 'student'; expected one of lstm, gru"),
        (["lvm:gru"], "make it with `wotd-mlx lvm train gru`"),
        (["lvm:distilgpt2", "--context", "2000"], "longer than distilgpt2's"),
        (["lvm:distilgpt2", "--context", "2147483647"], "2147483647 is not in the range 1<=x<=65536"),
        (["encoder", "--context", "5"], "--context goes with lvm:NAME"),
        (["lvm:distilgpt2", "--context", "0"], "0 is not in the range"),
    ],
)
def test_wrong_wishes(tmp_path, argv, says):
    trained(tmp_path / "run", "distilgpt2")
    argv = ["export", *argv, "--run", str(tmp_path / "run"), "--out", str(tmp_path / "bundle")]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code != 0
    assert says in result.output
    assert not (tmp_path / "bundle").exists()


def test_what_exists_is_kept(tmp_path):
    (tmp_path / "bundle").mkdir()
    with pytest.raises(WotdError, match="exists; choose another --out"):
        predictor.export_predictor(tmp_path, "gru", tmp_path / "bundle")
