import json
import os
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from tests.lvm.evaluation.small import D, articles, embeddings, trained
from tests.tolerances import close
from wotd_mlx.io.lock import locked
from wotd_mlx.lvm.data.sentences import split_by_article
from wotd_mlx.lvm.evaluation import evaluate as module
from wotd_mlx.lvm.evaluation import scores
from wotd_mlx.lvm.evaluation.evaluate import evaluate
from wotd_mlx.lvm.evaluation.predict import BEFORE, predict
from wotd_mlx.lvm.evaluation.results import Files
from wotd_mlx.lvm.report.results import read_results
from wotd_mlx.lvm.store import ModelFolder
from wotd_mlx.schemas import BusyError, WotdError

BASELINES = ["copy-last", "mean of context", "five scalars", "ridge"]
LENGTHS = (12, 9, 14, 30, 8, 26, 11, 10, 9, 13)
TOPICS = ("arts", "", "history", "arts", "history", "", "arts", "arts", "history", "")


@pytest.fixture(autouse=True)
def projected(monkeypatch):
    """What is to be projected; t-SNE takes as long as all else, and test_projection has it."""
    seen = []
    monkeypatch.setattr(module, "project", lambda *given: seen.append(given))
    return seen


@pytest.fixture
def data():
    return articles(*LENGTHS, topics=TOPICS)


@pytest.fixture
def x(data):
    return embeddings(len(data))


@pytest.fixture
def folder(tmp_path):
    """Two models; both add to the scalars."""
    trained(tmp_path, "gru")
    trained(tmp_path, "lstm", context=4)
    return tmp_path


def results(out):
    found = Files(out)
    return [json.loads(path.read_text()) for path in (found.validation, found.retrieval, found.benchmarks)]


def test_the_three_files(folder, data, x):
    ood = articles(9, 7)
    evaluate(folder, ["gru", "lstm"], data, x, (ood, embeddings(16, seed=4)), ood_file="other.txt", seconds=0)
    validation, retrieval, benchmarks = results(folder)

    rows = [*BASELINES, "scalars", "gru", "lstm"]
    split = split_by_article(data, 0.3, 0.2)
    assert validation["data"] == {
        "file": "wiki.tsv",
        "sentences": sum(LENGTHS),
        "articles": 10,
        "embedding": "some-embedding",
        "dims": D,
        "split": {"train": 5, "valid": 3, "test": 2},
        "ood": "other.txt",
    }
    # The longest context of any model, for every row.
    assert validation["context"] == benchmarks["context"] == 6
    assert list(validation["rows"]) == list(retrieval["rows"]) == rows
    for name, row in validation["rows"].items():
        assert row["kind"] == ("model" if name in ("gru", "lstm") else "baseline")
        for part in ("train", "valid", "test"):
            assert row[part]["count"] == len(data.rows(getattr(split, part), BEFORE))
        assert row["ood"]["count"] == 4 + 2
        assert row["gap"] == pytest.approx(row["valid"]["mse"] - row["train"]["mse"], abs=1e-8)
        assert set(retrieval["rows"][name]) == {"valid", "test", "ood"}
        for part in retrieval["rows"][name].values():
            assert set(part) == {"context", "newest5"}
            # Sixth embeddings are candidates only where the newest five are left out.
            assert part["newest5"]["mean_reciprocal_rank"] <= part["context"]["mean_reciprocal_rank"]

    gru = validation["rows"]["gru"]
    assert (gru["epochs"], gru["best_epoch"], gru["seconds"], gru["training_peak_bytes"]) == (2, 1, 5.0, 2000)
    model = ModelFolder(folder, "gru")
    assert gru["bytes"] == model.best.stat().st_size
    assert gru["parameters"] == model.load()[0].predictor.size
    for key in ("by_length", "by_topic", "by_similarity"):
        assert sum(bucket["count"] for bucket in gru[key]) == gru["valid"]["count"]
    assert len(gru["failures"]) == 10
    assert {"title", "context", "wanted", "got", "cosine", "rank"} == set(gru["failures"][0])

    assert (retrieval["candidates"], retrieval["ood_candidates"]) == (sum(LENGTHS), 16)
    assert set(retrieval["confusion"]) == {"gru", "lstm"}
    assert set(benchmarks["rows"]) == {"gru", "lstm"}
    expected = {"latency_ms", "step_ms", "throughput_per_s", "peak_bytes", "parameters", "bytes"}
    assert set(benchmarks["rows"]["gru"]) == expected


def test_what_is_written_is_read_by_the_report(folder, data, x):
    """Each key and its type: what is read knows no others."""
    evaluate(folder, ["gru", "lstm"], data, x, (articles(9, 7), embeddings(16, seed=4)), seconds=0)
    read = read_results(folder)
    validation, retrieval, _ = results(folder)
    assert read.models == ["lstm", "gru"]
    assert list(read.histories["gru"]) == ModelFolder(folder, "gru").epochs()
    for name in ("gru", "ridge"):
        assert read.number(name, "validation.ood.cosine") == validation["rows"][name]["ood"]["cosine"]
        assert read.number(name, "retrieval.test.newest5.top5") == (retrieval["rows"][name]["test"]["newest5"]["top5"])
    assert len(read.validation.rows["gru"].failures) == 10
    assert read.finished == ["lstm", "gru"]


def test_a_row_is_what_the_parts_say(folder, data, x, projected):
    evaluate(folder, ["gru"], data, x, context=7, seconds=0)
    validation, retrieval, _ = results(folder)
    split = split_by_article(data, 0.3, 0.2)
    targets = data.rows(split.valid, BEFORE)
    wanted = predict(ModelFolder(folder, "gru").load()[0], data, x, targets, 7)
    assert validation["rows"]["gru"]["valid"] == scores.summary(scores.measure(wanted, x, targets))
    assert validation["rows"]["copy-last"]["valid"] == scores.summary(scores.measure(x[targets - 1], x, targets))
    assert validation["rows"]["gru"]["ood"] is None
    ((shown, predictions),) = projected
    close(shown, x[targets], "exact")
    close(predictions["gru"], wanted, "exact")
    assert list(predictions) == ["gru"]
    assert set(retrieval["rows"]["gru"]) == {"valid", "test"}


def test_what_is_measured_does_not_teach_the_baselines(folder, data, x, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "baselines", lambda *given: seen.append(given[2]) or {})
    evaluate(folder, ["gru"], data, x, seconds=0)
    split = split_by_article(data, 0.3, 0.2)
    close(seen[0], split.train, "ids")
    assert not set(seen[0]) & {*split.valid, *split.test}


def test_other_text_is_ranked_among_itself(folder, data, x):
    """Each other sentence is as the one before it, but for a little: copying finds it there, and not in the data."""
    ood = articles(7)
    theirs = np.eye(D, dtype=np.float32)[np.arange(7)]
    theirs[6] = (theirs[5] + 0.1 * theirs[6]) / np.linalg.norm(theirs[5] + 0.1 * theirs[6])
    # In the data the copy would meet fifty embeddings that equal it.
    x[:50] = theirs[5]
    evaluate(folder, ["gru"], data, x, (ood, theirs), seconds=0)
    found = results(folder)[1]["rows"]["copy-last"]["ood"]["context"]
    # Sentence 6 is first; sentence 5 and sentence 6's candidates are all as far from sentence 4: two of them.
    assert found["mean_reciprocal_rank"] == pytest.approx((1 + 1 / 1.5) / 2, abs=1e-6)


def test_a_name_that_is_no_text_is_written_with_question_marks(folder, data, x):
    other = articles(9), embeddings(9, seed=4)
    evaluate(folder, ["gru"], data, x, other, ood_file=os.fsdecode(b"novel\xff.txt"), seconds=0)
    assert read_results(folder).validation.data.ood == "novel?.txt"


def test_a_second_evaluation_of_a_folder_is_refused_at_once(folder, data, x):
    with locked(Files(folder).folder), pytest.raises(BusyError, match="is writing to"):
        evaluate(folder, ["gru"], data, x, seconds=0)


def test_no_names_means_all_that_were_trained(folder, data, x):
    evaluate(folder, [], data, x, seconds=0)
    assert list(results(folder)[2]["rows"]) == ["lstm", "gru"]


def test_models_that_stand_alone_have_no_starting_point(tmp_path, data, x):
    trained(tmp_path, "gru", base="none")
    evaluate(tmp_path, ["gru"], data, x, seconds=0)
    assert list(results(tmp_path)[0]["rows"]) == [*BASELINES, "gru"]
    # One that adds to scalars brings their row.
    trained(tmp_path, "lstm")
    evaluate(tmp_path, ["gru", "lstm"], data, x, seconds=0)
    assert list(results(tmp_path)[0]["rows"]) == [*BASELINES, "scalars", "gru", "lstm"]


def refused(match, out, data, x, *rest, names=("gru",), **more):
    with pytest.raises(WotdError, match=match):
        evaluate(out, names, data, x, *rest, seconds=0, **more)
    assert not Files(out).validation.exists()


def test_vectors_of_another_width(folder, data, x):
    wide = embeddings(len(data), dims=24)
    refused("gru predicts embeddings of 16 numbers, the data's have 24; embed the data with some-", folder, data, wide)
    other = articles(9), embeddings(9, dims=24)
    refused("other text's embeddings have 24 numbers, the data's 16", folder, data, x, other)


def test_vectors_that_are_not_finite(folder, data, x):
    x[20, 3] = np.nan
    refused("embedding 20 of 142 is not finite", folder, data, x)


def test_weights_that_are_not_finite(folder, data, x):
    model = ModelFolder(folder, "gru")
    weights = dict(mx.load(str(model.best)))
    weights["predictor.head.bias"] = mx.full(weights["predictor.head.bias"].shape, float("nan"))
    model.write_weights(model.best, weights, model.settings(), model.epochs()[:1])
    refused(r"best_model\.safetensors: predictor\.head\.bias holds numbers that aren't finite", folder, data, x)
    weights["predictor.head.bias"] = mx.full(weights["predictor.head.bias"].shape, 1e30)
    weights["gates.bias"] = mx.full(weights["gates.bias"].shape, 1e8)
    model.write_weights(model.best, weights, model.settings(), model.epochs()[:1])
    refused(r"the prediction for sentence \d+ is not finite, or beyond .*train again", folder, data, x)


def test_a_context_longer_than_any_article(folder, data, x):
    refused("a context of 30 embeddings; expected 1 to 29", folder, data, x, context=30)
    refused("a context of -1 embeddings", folder, data, x, context=-1)


def test_no_model(tmp_path, data, x):
    refused("no trained model under", tmp_path, data, x, names=())
    refused(r"no file .*config.json; make it with `wotd-mlx lvm train gru`", tmp_path, data, x)
    refused("unknown model 'grue'; expected one of lstm", tmp_path, data, x, names=("grue",))


def test_weights_cut_short(folder, data, x):
    best = ModelFolder(folder, "gru").best
    best.write_bytes(best.read_bytes()[:-40])
    refused(r"best_model\.safetensors can't be read as safetensors .*; make it with `wotd-mlx lvm tr", folder, data, x)


def test_a_history_that_is_none(folder, data, x):
    history = ModelFolder(folder, "gru").history
    history.write_text('[{"epoch": 1}]')
    refused(r"training_history\.json: \[0\] lacks train_loss; make it with `wotd-mlx lvm train gru`", folder, data, x)
    history.unlink()
    refused(r"no file .*training_history\.json; make it with", folder, data, x)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"embedding": "another"}, "embedding 'another' and 'some-embedding'"),
        ({"valid": 0.1}, "valid 0.1 and 0.3"),
        ({"digest": "x"}, r"data \(digest\) 'x' and 'digest'"),
    ],
)
def test_models_that_saw_other_articles(folder, data, x, change, match):
    model = ModelFolder(folder, "lstm")
    model.write_settings(replace(model.settings(), **change))
    refused(f"lstm and gru were trained differently: {match}", folder, data, x, names=("gru", "lstm"))


def test_other_data_than_the_models_were_trained_on(folder, data, x):
    refused("not what the models .* were trained on", folder, data, x, digest="other")
    evaluate(folder, ["gru"], data, x, digest="digest", seconds=0)


def test_nothing_to_measure(folder):
    data = articles(30, 4, 4, 4, 30, 30)
    # Articles of four sentences have no target.
    split = module.Split(np.array([0, 4, 5]), np.array([1, 2]), np.array([3]))
    refused("nothing to measure in part valid", folder, data, embeddings(102), split=split)
    with pytest.raises(WotdError, match="part ood"):
        module._parts(
            articles(9, 9, 9), embeddings(27), split_by_article(articles(9, 9, 9)), (articles(3), embeddings(3))
        )
