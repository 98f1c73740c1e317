"""``wotd-mlx lvm`` as a user meets it: what is listed, a training from a table to its report, errors of one line."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from click.testing import CliRunner, Result

from wotd_mlx.cli import main
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation import evaluate
from wotd_mlx.lvm.report import figures

DIMS, ARTICLES, LENGTH = 24, 12, 9


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["lvm", *map(str, arguments)])


def rows(result: Result) -> list[dict]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*arguments: object) -> str:
    """The one line that says why."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def write_data(folder):
    """A table of short articles and a file of vectors that drift within each."""
    lines = [f"a{n}\t{place}\tSentence {place} of {n}." for n in range(ARTICLES) for place in range(LENGTH)]
    table, vectors = folder / "sentences.tsv", folder / "vectors.npy"
    table.write_text("\n".join(["article_id\tsent_idx\tsentence", *lines]) + "\n")
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=(ARTICLES, 1, DIMS)) + np.cumsum(rng.normal(size=(ARTICLES, LENGTH, DIMS)), axis=1)
    x = x.reshape(-1, DIMS) / np.linalg.norm(x.reshape(-1, DIMS), axis=1, keepdims=True)
    np.save(vectors, x.astype(np.float32))
    return table, vectors


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


def training(table, vectors, out, *more, name="gru"):
    small = ("--context", 5, "--epochs", 1, "--batch", 8)
    return ("train", name, "--data", table, "--embedding", vectors, "--out", out, *small, *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(table, vectors, folder of a trained GRU, what its training printed); tests only read it."""
    folder = tmp_path_factory.mktemp("lvm")
    table, vectors = write_data(folder)
    return table, vectors, folder / "out", run(*training(table, vectors, folder / "out", "--json"))


def test_the_thirteen_are_listed():
    found = rows(run("list", "--json"))
    assert [row["name"] for row in found] == list(NAMES)
    for row in found:
        assert list(row) == [
            "name",
            "title",
            "params_paper",
            "params_tiny",
            "params_published",
            "complexity",
            "step_memory",
            "reference",
            "note",
        ]
        assert abs(row["params_paper"] / row["params_published"] - 1) < 0.03
        assert row["complexity"].startswith("O(")
    plain = run("list")
    assert plain.exit_code == 0
    assert all(name in plain.stdout for name in NAMES)


def test_training_prints_a_line_an_epoch_and_leaves_its_files(trained):
    _, _, out, printed = trained
    (epoch,) = rows(printed)
    assert epoch.items() >= {"name": "gru", "epoch": 1, "best": True}.items()
    assert {"train_loss", "valid_loss", "valid_cosine", "valid_margin", "learning_rate", "seconds"} <= set(epoch)
    files = {file.name for file in (out / "models" / "gru").glob("[!.]*")}
    assert files == {"config.json", "training_history.json", "best_model.safetensors", "final_model.safetensors"}
    (kept,) = json.loads((out / "models" / "gru" / "training_history.json").read_text())
    assert {"name": "gru", **kept} == epoch


def test_a_training_that_has_ended_says_so_and_is_left_alone(trained, caplog):
    table, vectors, out, _ = trained
    before = (out / "models" / "gru" / "best_model.safetensors").stat().st_mtime_ns
    caplog.set_level(logging.INFO, logger="wotd_mlx")
    again = run(*training(table, vectors, out, "--json"))
    assert rows(again) == []
    assert "gru is trained already: " in caplog.text
    plain = run(*training(table, vectors, out))
    assert plain.stdout == f"Next: wotd-mlx lvm evaluate --out {out}\n"
    assert (out / "models" / "gru" / "best_model.safetensors").stat().st_mtime_ns == before
    line = refused(*training(table, vectors, out, "--ema", 0.5))
    assert "other settings" in line
    assert "give --fresh to start over, or another --out" in line


def test_without_json_a_training_tells_its_figures_and_what_is_next(data, tmp_path):
    result = run(*training(*data, tmp_path / "out", "--base", "added", name="lstm"))
    assert result.exit_code == 0, result.output
    first, last = result.stdout.splitlines()
    assert first.startswith("lstm epoch 1: loss ")
    assert " in validation, cosine " in first
    assert last == f"Next: wotd-mlx lvm evaluate --out {tmp_path / 'out'}"


def test_what_is_trained_is_evaluated_and_compared(trained, monkeypatch):
    monkeypatch.setattr(evaluate, "benchmark", lambda *given: {"latency_ms": {"p50": 1.0, "p95": 2.0}, "step_ms": 1.0,
                        "throughput_per_s": 10.0, "peak_bytes": 1000})  # fmt: skip
    _, _, out, _ = trained
    (found,) = rows(run("evaluate", "--out", out, "--json"))
    assert [file.rpartition("/")[2] for file in found["files"]] == [
        "validation_results.json",
        "retrieval_results.json",
        "inference_benchmarks.json",
    ]
    validation = json.loads((out / "evaluation" / "validation_results.json").read_text())
    assert list(validation["rows"]) == ["copy-last", "mean of context", "five scalars", "ridge", "scalars", "gru"]
    plain = run("evaluate", "gru", "--out", out, "--context", 4)
    assert plain.exit_code == 0, plain.output
    for word in ("copy-last", "ridge", "gru", f"Next: wotd-mlx lvm compare --out {out}"):
        assert word in plain.stdout

    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures, "FIGURES", figures.FIGURES[:1])
    (report,) = rows(run("compare", "--out", out, "--json"))
    page = (out / "evaluation" / "report.html").read_text()
    assert report == {"report": str(out / "evaluation" / "report.html")}
    assert "<html" in page
    assert [file.name for file in (out / "evaluation" / "comparison_plots").iterdir()] == ["bars.png"]
    assert run("compare", "--out", out).stdout == f"wrote {report['report']}\n"


def test_unknown_models_are_refused_before_anything_is_read(data, trained, tmp_path):
    line = refused("train", "gpt5", "--data", "no/such", "--out", tmp_path / "out")
    assert line.startswith("error: unknown model 'gpt5'; expected one of lstm, gru, ")
    assert refused("evaluate", "gpt5", "--out", trained[2]).startswith("error: unknown model 'gpt5'; expected one of")
    assert not (tmp_path / "out").exists()
    assert "make it with `wotd-mlx lvm train lstm`" in refused("evaluate", "lstm", "--out", trained[2])


def test_data_that_do_not_fit_are_refused(data, tmp_path):
    table, vectors = data
    out = tmp_path / "out"
    assert refused(*training(tmp_path / "gone.tsv", vectors, out)).startswith("error: no file ")
    table.with_name("odd.tsv").write_text("article\tsentence\nA\tOne.\n")
    assert "odd.tsv: the first line is 'article\\tsentence', without 'article_id'" in refused(
        *training(table.with_name("odd.tsv"), vectors, out)
    )
    table.with_name("short.tsv").write_text("article_id\tsentence\nA\tOne.\nB\tOne.\n")
    assert "no article of two sentences or more" in refused(*training(table.with_name("short.tsv"), vectors, out))
    assert "gone.npy; give a .npy file" in refused(*training(table, tmp_path / "gone.npy", out))
    assert refused(*training(table, "nope", out)).startswith("error: unknown embedding 'nope'")
    x = np.load(vectors)
    x[7] = np.nan
    np.save(vectors, x)
    assert f"embedding 7 of {ARTICLES * LENGTH} is not finite (1 such)" in refused(*training(table, vectors, out))


def test_a_context_longer_than_any_article_is_refused(data, tmp_path, trained):
    line = refused(*training(*data, tmp_path / "out"), "--context", LENGTH)
    assert f"--context {LENGTH} is longer than any article of" in line
    assert f"give --context {LENGTH - 1} or less" in line
    assert f"a context of {LENGTH} embeddings; expected 1 to" in refused(
        "evaluate", "--out", trained[2], "--context", LENGTH
    )


def test_vectors_of_another_width_than_the_checkpoints_are_refused(data, trained, tmp_path):
    table, _, out, _ = trained
    x = np.load(data[1])[:, :16]
    np.save(tmp_path / "narrow.npy", x / np.linalg.norm(x, axis=1, keepdims=True))
    assert "other settings" in refused(*training(table, tmp_path / "narrow.npy", out))
    assert "not what the models" in refused("evaluate", "--out", out, "--data", write_other(table, tmp_path))


def test_other_data_are_refused_before_anything_is_embedded(trained, tmp_path, monkeypatch):
    table, _, out, _ = trained

    def embed(*given):
        raise AssertionError("embedded")

    monkeypatch.setattr("wotd_mlx.lvm.data.embeddings.sentence_embeddings", embed)
    assert "not what the models" in refused("evaluate", "--out", out, "--data", write_other(table, tmp_path))
    assert refused("evaluate", "--out", out, "--ood", tmp_path / "gone.tsv").startswith("error: no file ")


def write_other(table, folder):
    (folder / "other.tsv").write_text(table.read_text().replace("Sentence", "Phrase"))
    return folder / "other.tsv"


def test_nothing_trained_or_evaluated_is_said(tmp_path):
    assert "holds no trained model; make one with `wotd-mlx lvm train gru" in refused("evaluate", "--out", tmp_path)
    assert "wotd-mlx lvm" in refused("compare", "--out", tmp_path)


@pytest.mark.parametrize(
    ("option", "range_"),
    [
        ("--context", "1<=x<=2147483647"),
        ("--epochs", "1<=x<=2147483647"),
        ("--batch", "1<=x<=2147483647"),
        ("--seed", "0<=x<=4294967295"),
        ("--learning-rate", "0<x<=1000000000.0"),
        ("--contrastive", "0<=x<=1000000000.0"),
        ("--noise", "0<=x<=1000000000.0"),
        ("--context-dropout", "0<=x<1"),
        ("--ema", "0<=x<1"),
        ("--memory-limit", "0.1<=x<=1000000.0"),
    ],
)
@pytest.mark.parametrize("value", ["-1", str(10**30), "nan", "inf", "many"])
def test_numbers_out_of_range_are_wrong_usage(option, range_, value, data, tmp_path):
    result = run(*training(*data, tmp_path / "out"), option, value)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    whole = option in ("--context", "--epochs", "--batch", "--seed")
    told = (
        " is not a valid" if value == "many" or (whole and value in ("nan", "inf")) else f" not in the range {range_}"
    )
    assert last.startswith(f"Error: Invalid value for '{option}'")
    assert told in last
    assert not (tmp_path / "out").exists()


def test_the_context_of_an_evaluation_has_a_range(trained):
    for value in (0, 10**30):
        result = run("evaluate", "--out", trained[2], "--context", value)
        assert result.exit_code == 2
        assert "not in the range 1<=x<=2147483647" in result.stderr


@pytest.mark.parametrize(("option", "value"), [("--base", "sum"), ("--preset", "huge"), ("--precision", "int8")])
def test_words_that_are_no_choice_are_wrong_usage(option, value, data, tmp_path):
    result = run(*training(*data, tmp_path / "out"), option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize("command", ["list", "train", "evaluate", "compare"])
def test_each_help_has_examples(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"  wotd-mlx lvm {command}" in result.stdout
    assert command in run("--help").stdout
