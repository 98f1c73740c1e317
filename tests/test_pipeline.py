"""The main job, on a small corpus: contracts of the run folder, resuming, determinism, bad input."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import wotd_mlx
from tests.conftest import small_config, write_checkpoint
from tests.tolerances import close
from wotd_mlx import WotdError, pipeline, train_wotd_pipeline
from wotd_mlx.codes.split import split_by_family
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.words.builtin import load_builtin
from wotd_mlx.words.jsonl import read_jsonl


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_run_holds_what_the_contract_names(finished):
    run = RunFolder(finished.run)
    names = {str(f.relative_to(run.path)) for f in run.path.rglob("*") if f.is_file() and f.name != ".lock"}
    assert names == {
        "config.json",
        "corpus.jsonl",
        "embeddings.safetensors",
        "glosses.safetensors",
        "meaning.safetensors",
        "known.safetensors",
        "codes/model.safetensors",
        "codes/history.json",
        "semantic_ids.json",
        "metrics.json",
    }
    config, metrics = run.read_json(run.config), run.read_json(run.metrics)
    assert config["dims"] == 32
    assert set(config["versions"]) == {"wotd-mlx", "mlx", "numpy", "python"}
    assert metrics == finished.metrics
    assert set(metrics) == {"corpus", "codes", "seconds", "peak_bytes"}
    assert list(metrics["seconds"]) == list(metrics["peak_bytes"]) == ["words", "embed", "codes"]
    assert (metrics["corpus"]["words"], metrics["corpus"]["corpora"]) == (1200, 12)
    codes = metrics["codes"]
    assert set(codes["label_accuracy"]) == set(codes["label_probe"]) == {"style", "complexity", "era"}
    assert len(codes["usage"]) == len(codes["perplexity"]) == len(codes["levels"]) == 4
    history = run.read_json(run.history, list)
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))
    assert all(len(row["usage"]) == len(row["perplexity"]) == 4 for row in history)
    assert codes["usage_train"] == history[-1]["usage"]
    assert codes["labels_read_back"] == codes["labels_read_back_own"] == 1
    assert 0.8 < codes["own_word_first"] < 1  # codes see 8 of 32 axes, which can't tell all words apart


def test_semantic_ids_are_those_of_the_corpora_and_their_words(finished):
    run = RunFolder(finished.run)
    ids, builtin = run.read_json(run.semantic_ids), load_builtin()
    assert list(ids["words"]) == [w.text for w in builtin.words]
    assert list(ids["corpora"]) == list(builtin.groups)
    coder = wotd_mlx.SemanticEncoder.load(run.path)
    _, vectors = run.read_words()
    told = [tuple(i) for i in coder.encode_vectors(vectors)]
    own = [tuple(i) for i in ids["words"].values()]
    # Every word owns its ID.
    assert finished.metrics["codes"]["corpus_collisions"] == {"found": 0, "left": 0, "distance_added": 0}
    assert len(set(own)) == len(own) == 1200 > len(set(told))
    for name, number in ids["corpora"].items():
        labels = coder.labels([number])[0]
        attribute = next(a.name for a in coder.config.attributes if name in a.values)
        table = np.array(coder.model.tables[[a.name for a in coder.config.attributes].index(attribute)])
        value = next(a for a in coder.config.attributes if a.name == attribute).values.index(name)
        q = [a.name for a in coder.config.attributes].index(attribute)
        assert table[number[q], value] == table[:, value].max(), (name, labels)


def test_the_same_seed_gives_the_same_ids_and_another_does_not(checkpoint, finished, tmp_path):
    for name, kind, seed in (("a", "rvq", 1), ("b", "rvq", 1), ("c", "hvq", 1)):
        train_wotd_pipeline(small_config(checkpoint, kind=kind, seed=seed), tmp_path / name)
    ids = [(tmp_path / name / "semantic_ids.json").read_bytes() for name in "abc"]
    assert ids[0] == ids[1]
    assert ids[2] != (finished.run / "semantic_ids.json").read_bytes()


def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(checkpoint, finished, tmp_path, monkeypatch):
    config, run = small_config(checkpoint), RunFolder(tmp_path / "run")
    real = pipeline.fit

    def interrupted(*args, **kwargs):
        yield next(real(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "fit", interrupted)
    with pytest.raises(WotdError, match="interrupted in stage codes; the same command goes on"):
        train_wotd_pipeline(config, run.path)
    assert list(run.read_json(run.metrics)["seconds"]) == ["words", "embed"]
    assert not run.model.exists()
    embedded = run.vectors.stat().st_mtime_ns

    monkeypatch.setattr(pipeline, "fit", real)
    train_wotd_pipeline(config, run.path)
    assert run.vectors.stat().st_mtime_ns == embedded
    assert run.semantic_ids.read_bytes() == (finished.run / "semantic_ids.json").read_bytes()


def test_a_stage_whose_file_was_deleted_runs_again(checkpoint, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.run, folder)
    (folder / "codes" / "model.safetensors").unlink()
    train_wotd_pipeline(small_config(checkpoint), folder)
    assert (folder / "codes" / "model.safetensors").exists()
    assert (folder / "semantic_ids.json").read_bytes() == (finished.run / "semantic_ids.json").read_bytes()


def test_training_a_finished_run_again_changes_nothing_and_other_settings_are_refused(checkpoint, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.run, folder)
    before = contents(folder)
    again = train_wotd_pipeline(replace(small_config(checkpoint), cache=str(tmp_path / "c.sqlite")), folder)
    assert again.metrics == finished.metrics
    other = write_checkpoint(tmp_path / "other", width=16)
    for config, what in (
        (small_config(checkpoint, kind="rvq"), "codes: .*'hvq'.*, now .*'rvq'"),
        (small_config(other), "embedding: "),
    ):
        with pytest.raises(WotdError, match=f"holds a run with other settings.*{what}"):
            train_wotd_pipeline(config, folder)
    assert contents(folder) == before


def test_a_student_is_added_to_a_finished_run_and_changes_nothing_else(checkpoint, finished, taught):
    before, after = contents(finished.run), contents(taught.run)
    assert set(after) - set(before) == {"codes/student.safetensors"}
    assert {name for name in before if before[name] != after[name]} == {"metrics.json"}
    metrics = taught.metrics
    assert {name: metrics["seconds"][name] for name in finished.metrics["seconds"]} == finished.metrics["seconds"]
    student = metrics["student"]
    assert student["bytes"] == (taught.run / "codes" / "student.safetensors").stat().st_size <= 5_000_000
    assert student["words_held_out"] == metrics["codes"]["words_held_out"]
    coder = wotd_mlx.SemanticEncoder.load(taught.run, encoder="student")
    words, vectors = coder.words
    held = split_by_family([word.text for word in words], coder.config).test
    told, meant = coder.student.encode([words[row].text for row in held]), coder.encode_vectors(vectors[held])
    assert student["agreement"] == pytest.approx((np.array(told) == np.array(meant)).mean(axis=0).tolist())
    assert set(student["label_accuracy"]) == {"style", "complexity", "era"}
    assert train_wotd_pipeline(small_config(checkpoint, student=True), taught.run).metrics == metrics
    assert train_wotd_pipeline(small_config(checkpoint), taught.run).metrics == metrics


def test_a_student_learns_the_same_in_one_go_as_added_later(checkpoint, taught, tmp_path):
    train_wotd_pipeline(small_config(checkpoint, student=True), tmp_path / "run")
    file = Path("codes") / "student.safetensors"
    assert (tmp_path / "run" / file).read_bytes() == (taught.run / file).read_bytes()


@pytest.mark.parametrize("stage", ["words", "embed", "codes"])
def test_a_full_disk_stops_the_run_and_keeps_what_was_there(stage, checkpoint, tmp_path, monkeypatch):
    from wotd_mlx.io import files

    folder, real = tmp_path / "run", files.os.fsync
    files_before = {"words": "corpus.jsonl", "embed": "embeddings.safetensors", "codes": "model.safetensors"}

    def full(handle: int) -> None:
        target = Path(f"/proc/self/fd/{handle}").resolve().name if Path("/proc/self/fd").exists() else ""
        if files_before[stage] in target:
            raise OSError(28, "No space left on device")
        real(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to tell which file is written")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train_wotd_pipeline(small_config(checkpoint), folder)
    assert not [f for f in folder.rglob("*") if files_before[stage] in f.name]
    assert all(json.loads(f.read_text()) for f in folder.glob("*.json"))
    monkeypatch.setattr(files.os, "fsync", real)
    assert "codes" in train_wotd_pipeline(small_config(checkpoint), folder).metrics


def test_a_jsonl_corpus_of_ones_own_with_repeated_and_unlabelled_words(checkpoint, tmp_path, caplog):
    file = tmp_path / "mine.jsonl"
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(300)]
    rows = [
        {"word": w, "labels": {"style": "modern"}} if n % 2 else {"word": w} for n, w in enumerate([*words, words[0]])
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    info = train_wotd_pipeline(replace(small_config(checkpoint), corpus=str(file)), tmp_path / "run")
    assert "1 repeated word" in caplog.text
    assert info.metrics["corpus"]["words"] == 300
    assert info.metrics["codes"]["label_accuracy"] == {"style": 1.0, "complexity": None, "era": None}
    ids = json.loads((info.run / "semantic_ids.json").read_text())
    assert list(ids["corpora"]) == ["mine"]
    assert {w.corpus for w in read_jsonl(info.run / "corpus.jsonl").words} == {"mine"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "no words"),
        ('{"word": "alone"}\n', "has 1 word"),
        ('{"word": "one"}\n{"word": "two"}\n', "2 words in 2 word families"),
        ('{"word": "a", "corpus": "lexicon"}\n{"word": "b"}\n', "rename it"),
        ('{"word": "a"}\n{"wrod": "b"}\n', "mine.jsonl:2"),
    ],
)
def test_a_corpus_too_small_or_damaged_is_refused(lines, message, checkpoint, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(lines)
    with pytest.raises(WotdError, match=message):
        train_wotd_pipeline(replace(small_config(checkpoint), corpus=str(file)), tmp_path / "run")


def test_an_unknown_embedding_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(WotdError, match="unknown embedding 'nope'"):
        train_wotd_pipeline(wotd_mlx.TrainingConfig(embedding="nope"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_first_try_that_failed_does_not_bind_the_folder_to_its_settings(checkpoint, tmp_path):
    with pytest.raises(WotdError, match="no corpus"):
        train_wotd_pipeline(replace(small_config(checkpoint), corpus="no/such"), tmp_path / "run")
    assert "codes" in train_wotd_pipeline(small_config(checkpoint), tmp_path / "run").metrics


def test_passing_the_memory_limit_stops_the_run(checkpoint, tmp_path):
    with pytest.raises(WotdError, match="limit"):
        train_wotd_pipeline(small_config(checkpoint, memory_limit=1 << 20), tmp_path / "run")


def test_the_trainer_runs_in_an_event_loop(checkpoint, finished, tmp_path):
    info = asyncio.run(wotd_mlx.WOTDTrainer(small_config(checkpoint), tmp_path / "run").train_complete_pipeline())
    close(info.metrics["codes"]["relative_mse"], finished.metrics["codes"]["relative_mse"], "training")


def test_a_literature_folder_trains(checkpoint, tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = [w.text for w in load_builtin().words]
    rows = ["file\tauthor\ttitle\tyear\tera"]
    for era, part in (("olden", words[:150]), ("newer", words[600:750])):
        for n in range(4):
            text = " ".join(rng.choice(part, 6000)) + "."
            (folder / f"{era}{n}.txt").write_text(text)
            rows.append(f"{era}{n}.txt\tAuthor {n}\tBook {n}\t{1600 + n if era == 'olden' else 1920 + n}\t{era}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    info = train_wotd_pipeline(replace(small_config(checkpoint), corpus=str(folder)), tmp_path / "run")
    assert set(json.loads((info.run / "semantic_ids.json").read_text())["corpora"]) == {"olden", "newer"}
