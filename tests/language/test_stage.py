"""All four stages on small things: trained, measured, gone on with, asked for words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from click.testing import CliRunner

from tests.conftest import small_config
from wotd_mlx import train_wotd_pipeline
from wotd_mlx.cli import main
from wotd_mlx.config.language import DatasetConfig, LanguageConfig, LanguageRecipe, LoraConfig
from wotd_mlx.io.lock import locked
from wotd_mlx.language.adapters import read_config, read_weights, write_config, write_weights
from wotd_mlx.language.generate import Generator, append_excluded, load_generator
from wotd_mlx.schemas import RunInfo, WotdError

RECIPE = LanguageRecipe(lora=LoraConfig(rank=4), steps=6, batch=8, valid_rows=16, evaluations=2)


def language(tiny_folder: Path, **changes: object) -> LanguageConfig:
    dataset = DatasetConfig(train=120, valid=24, test=40)
    return replace(LanguageConfig(str(tiny_folder), requests=16, dataset=dataset, recipe=RECIPE), **changes)


@pytest.fixture(scope="module")
def run(checkpoint: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunInfo:
    config = small_config(checkpoint, language=language(tiny_folder))
    return train_wotd_pipeline(config, tmp_path_factory.mktemp("runs") / "whole")


def ask(*arguments: object) -> list[dict]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_stage_leaves_what_the_contract_names(run):
    folder, found = run.run / "language", run.metrics["language"]
    names = ("adapters.safetensors", "adapter_config.json", "train.jsonl", "valid.jsonl", "test.jsonl")
    assert all((folder / name).exists() for name in names)
    assert {"model", "perplexity", "perplexity_base", "format_adherence", "format_adherence_constrained",
            "semantic_consistency", "latency_ms_p50"} <= set(found)  # fmt: skip
    assert found["format_adherence_constrained"] == 1.0
    assert 0 <= found["format_adherence"] <= 1
    assert found["perplexity"] < found["perplexity_base"]
    assert found["choosers"]["held_out"]["model"]["known"] == found["choosers"]["seen"]["model, any word"]["known"] == 1
    assert {"language", "codes"} <= set(run.metrics["seconds"])
    assert all(len(row["words"]) == len(set(row["words"])) > 0 for row in found["samples"])


def test_a_finished_stage_is_not_run_again_and_another_one_is_refused(run, checkpoint, tiny_folder):
    config = small_config(checkpoint, language=language(tiny_folder))
    before = (run.run / "language" / "adapters.safetensors").stat().st_mtime_ns
    assert train_wotd_pipeline(config, run.run).metrics == run.metrics
    without = small_config(checkpoint)
    assert train_wotd_pipeline(without, run.run).metrics == run.metrics
    assert (run.run / "language" / "adapters.safetensors").stat().st_mtime_ns == before
    with pytest.raises(WotdError, match="other settings"):
        train_wotd_pipeline(small_config(checkpoint, language=language(tiny_folder, requests=8)), run.run)


def test_a_run_without_the_stage_gets_it_later(checkpoint, finished, tiny_folder, tmp_path):
    shutil.copytree(finished.run, tmp_path / "run")
    assert not (tmp_path / "run" / "language").exists()
    small = language(tiny_folder, requests=4, recipe=replace(RECIPE, steps=1))
    info = train_wotd_pipeline(small_config(checkpoint, language=small), tmp_path / "run")
    assert "language" in info.metrics


def test_generate_on_the_command_line(run, tmp_path):
    shown = tmp_path / "shown.txt"
    (row,) = ask("generate", "--run", run.run, "[*,*,*,*]", "-n", 3, "--seed", 1, "--exclude", shown, "--json")
    assert set(row) >= {"pattern", "words", "latency_ms"}
    assert row["pattern"] == "[*,*,*,*]"
    assert len({word["word"] for word in row["words"]}) == 3
    assert shown.read_text().split() == [word["word"] for word in row["words"]]
    (again,) = ask("generate", "--run", run.run, "Words matching pattern [*,*,*,*]:", "--exclude", shown, "--json")
    assert len(again["words"]) == 5
    assert not {word["word"] for word in again["words"]} & {word["word"] for word in row["words"]}
    for more in (["--sequential"], ["--any-word"], ["--method", "encoder"], ["--rerank", 2], ["--strict"]):
        result = CliRunner().invoke(main, ["generate", "--run", str(run.run), "[*,*,*,*]", *map(str, more)])
        assert len(result.stdout.splitlines()) == 5, result.output


@pytest.mark.parametrize("pattern", ["[1,2", "[9999,*,*,*]", "nonsense"])
def test_a_bad_request_is_one_line(run, pattern):
    result = CliRunner().invoke(main, ["generate", "--run", str(run.run), pattern])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "options",
    [["--seed", 10**22], ["--seed", -1], ["--temperature", "nan"], ["--temperature", "inf"], ["-n", 101],
     ["-n", 10**22], ["--rerank", 10**22]],
)  # fmt: skip
def test_a_number_out_of_range_is_wrong_usage(run, options):
    result = CliRunner().invoke(main, ["generate", "--run", str(run.run), "[*,*,*,*]", *map(str, options)])
    assert result.exit_code == 2
    assert "is not in the range" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--rank", 0], ["--rank", 2**31], ["--scale", "nan"], ["--scale", 0], ["--dropout", 1], ["--layers", -2],
     ["--steps", 0], ["--minutes", "inf"], ["--batch", 10**22], ["--learning-rate", "nan"], ["--memory-limit", "nan"],
     ["--memory-limit", 1e300], ["--seed", 2**32]],
)  # fmt: skip
def test_a_training_out_of_range_is_wrong_usage(run, options):
    result = CliRunner().invoke(main, ["language", "train", "--run", str(run.run), *map(str, options)])
    assert result.exit_code == 2
    assert "is not in the range" in result.stderr


@pytest.mark.parametrize(
    ("request_text", "told"), [("caf\udce9", "is not UTF-8"), ("-1,0,0,0", "column 1: got '-1', expected Generate")]
)
def test_what_a_shell_may_hand_on(run, request_text, told):
    result = CliRunner().invoke(main, ["generate", "--run", str(run.run), request_text])
    assert (result.exit_code, result.stderr.count("error: ")) == (1, 1)
    assert told in result.stderr


def test_words_that_others_add_meanwhile_stay(run, tmp_path, monkeypatch):
    shown, stream = tmp_path / "shown.txt", Generator.stream
    shown.write_text("mine")

    def meanwhile(self, *given):
        append_excluded(shown, ["theirs"])
        return stream(self, *given)

    monkeypatch.setattr(Generator, "stream", meanwhile)
    result = CliRunner().invoke(main, ["generate", "--run", str(run.run), "[*,*,*,*]", "--exclude", str(shown)])
    words = [line.split("\t")[0] for line in result.stdout.splitlines()]
    assert len(words) == 5
    assert shown.read_text().splitlines() == ["mine", "theirs", *words]


def test_words_that_were_seen_are_kept_though_the_reader_left(run, tmp_path, monkeypatch):
    """As behind `| head -1`: what was printed doesn't come again."""
    shown, seen = tmp_path / "shown.txt", []

    def echo(text: str) -> None:
        if len(seen) == 2:
            raise BrokenPipeError
        seen.append(text.split("\t", maxsplit=1)[0])

    monkeypatch.setattr("wotd_mlx.cli.generate.click.echo", echo)
    CliRunner().invoke(main, ["generate", "--run", str(run.run), "[*,*,*,*]", "--exclude", str(shown)])
    assert shown.read_text().splitlines() == seen
    assert len(seen) == 2


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run to change."""
    return Path(shutil.copytree(run.run, tmp_path / "copy"))


def test_adapters_of_other_codes_are_refused(copy, checkpoint, tmp_path):
    """As where a run's codes were trained anew, or its language part comes from another run."""
    made = train_wotd_pipeline(small_config(checkpoint, seed=1), tmp_path / "other").run
    settings = json.loads((made / "config.json").read_text())
    settings["language"] = json.loads((copy / "config.json").read_text())["language"]
    (made / "config.json").write_text(json.dumps(settings))
    shutil.copytree(copy / "language", made / "language")
    (made / "metrics.json").write_bytes((copy / "metrics.json").read_bytes())
    with pytest.raises(WotdError, match=r"was trained for other codes than the run's; .* --run .*other --fresh"):
        _ = load_generator(made).language
    train = ["language", "train", "--run", str(made)]
    result = CliRunner().invoke(main, train)
    assert result.exit_code == 1
    assert "holds a training with other settings" in result.stderr
    before = (made / "language" / "adapters.safetensors").read_bytes()
    result = CliRunner().invoke(main, [*train, "--layers", "3", "--fresh"])
    assert "error: lora layers is 3, the model has 2" in result.stderr
    assert (made / "language" / "adapters.safetensors").read_bytes() == before, "what can't begin removes nothing"
    ask(*train, "--steps", 1, "--rank", 2, "--fresh", "--json")
    assert load_generator(made).language is not None


def test_no_hub_is_asked_for_what_a_run_names(copy, monkeypatch):
    """A run may come from elsewhere; only a model that the user names is fetched."""
    asked = []

    def snapshot(name, *, local_files_only, **_):
        asked.append((name, local_files_only))
        raise FileNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr("wotd_mlx.io.weights._may_be_cached", lambda _: True)
    folder = copy / "language"
    config = read_config(folder)
    elsewhere = replace(config, wotd=replace(config.wotd, model="somebody/model"))
    weights = read_weights(folder, config)
    write_config(folder, elsewhere)
    write_weights(folder, weights, elsewhere)
    settings = json.loads((copy / "config.json").read_text())
    settings["language"]["model"] = "somebody/model"
    (copy / "config.json").write_text(json.dumps(settings))
    for command in (
        ["generate", "--run", copy, "[*,*,*,*]"],
        ["language", "evaluate", "--run", copy],
        ["language", "fuse", "--run", copy, "--out", copy / "fused"],
        ["language", "train", "--run", copy],
    ):
        result = CliRunner().invoke(main, [str(part) for part in command])
        assert result.exit_code == 1, command
        assert "error: no weights for somebody/model: not in the Hugging Face cache" in result.stderr
        assert "`hf download somebody/model`" in result.stderr
        assert asked == [("somebody/model", True)], command
        asked.clear()
    named = ["language", "train", "--run", str(copy), "--model", "somebody/other"]
    assert "the hub did not answer" in CliRunner().invoke(main, named).stderr
    assert asked == [("somebody/other", True), ("somebody/other", False)]


def test_a_training_that_has_not_ended_is_told(copy, caplog):
    config = read_config(copy / "language")
    load_generator(copy)
    assert "isn't trained to its end" not in caplog.text
    write_config(copy / "language", replace(config, wotd=replace(config.wotd, finished=False)))
    assert load_generator(copy).language is not None
    assert f"isn't trained to its end; go on with `wotd-mlx language train --run {copy}`" in caplog.text


def test_a_chooser_that_is_none(copy):
    metrics = json.loads((copy / "metrics.json").read_text())
    for best in ("magic", 3, [], {}):
        metrics["language"]["best"] = best
        (copy / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(WotdError, match=r"metrics\.json: language\.best is .*, expected one of blend, model"):
            load_generator(copy)


def test_one_at_a_time(copy, run, tiny_folder):
    with locked(copy):
        for command in (["train", "--model", str(tiny_folder)], ["evaluate"]):
            result = CliRunner().invoke(main, ["language", *command, "--run", str(copy)])
            assert result.exit_code == 1
            assert "error: another training is writing to" in result.stderr
    result = CliRunner().invoke(main, ["language", "train", "--run", str(copy / "nowhere")])
    assert "error: no run folder" in result.stderr
    assert not (copy / "nowhere").exists()


def test_measured_again_and_fused(run, tmp_path):
    (found,) = ask("language", "evaluate", "--run", run.run, "--requests", 8, "--json")
    assert found["requests"] == 8
    assert json.loads((run.run / "metrics.json").read_text())["language"] == found
    (made,) = ask("language", "fuse", "--run", run.run, "--out", tmp_path / "fused", "--json")
    from mlx_lm import load

    model, _ = load(made["model"])
    assert model.layers
