"""All four stages on small things: trained, measured, gone on with, asked for words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import small_config
from wotd_mlx import train_wotd_pipeline
from wotd_mlx.cli import main
from wotd_mlx.config.language import DatasetConfig, LanguageConfig, LanguageRecipe, LoraConfig
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


def test_a_run_without_the_stage_gets_it_later(checkpoint, tiny_folder, tmp_path):
    train_wotd_pipeline(small_config(checkpoint), tmp_path / "run")
    assert not (tmp_path / "run" / "language").exists()
    small = language(tiny_folder, requests=4, recipe=replace(RECIPE, steps=1))
    info = train_wotd_pipeline(small_config(checkpoint, language=small), tmp_path / "run")
    assert "language" in info.metrics


def test_generate_on_the_command_line(run, tmp_path):
    shown = tmp_path / "shown.txt"
    (row,) = ask("generate", "--run", run.run, "[*,*,*,*]", "-n", 3, "--seed", 1, "--shown", shown, "--json")
    assert set(row) >= {"pattern", "words", "latency_ms"}
    assert row["pattern"] == "[*,*,*,*]"
    assert len({word["word"] for word in row["words"]}) == 3
    assert shown.read_text().split() == [word["word"] for word in row["words"]]
    (again,) = ask("generate", "--run", run.run, "Words matching pattern [*,*,*,*]:", "--shown", shown, "--json")
    assert len(again["words"]) == 5
    assert not {word["word"] for word in again["words"]} & {word["word"] for word in row["words"]}
    for more in (["--in-turn"], ["--anywhere"], ["--by", "encoder"], ["--rerank", 2], ["--strict"]):
        result = CliRunner().invoke(main, ["generate", "--run", str(run.run), "[*,*,*,*]", *map(str, more)])
        assert len(result.stdout.splitlines()) == 5, result.output


@pytest.mark.parametrize("pattern", ["[1,2", "[9999,*,*,*]", "nonsense"])
def test_a_bad_request_is_one_line(run, pattern):
    result = CliRunner().invoke(main, ["generate", "--run", str(run.run), pattern])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_measured_again_and_fused(run, tmp_path):
    (found,) = ask("language", "evaluate", "--run", run.run, "--requests", 8, "--json")
    assert found["requests"] == 8
    assert json.loads((run.run / "metrics.json").read_text())["language"] == found
    (made,) = ask("language", "fuse", "--run", run.run, "--out", tmp_path / "fused", "--json")
    from mlx_lm import load

    model, _ = load(made["model"])
    assert model.layers


def test_trained_by_itself_with_code_tokens(run, tmp_path, tiny_folder):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run.run, copy)
    (made,) = ask("language", "train", "--run", copy, "--code-tokens", "--steps", 2, "--rank", 2, "--fresh", "--json")
    assert made["model"] == str(tiny_folder)
    (row,) = ask("generate", "--run", copy, "[*,*,*,*]", "--json")
    assert len(row["words"]) == 5
    (found,) = ask("language", "evaluate", "--run", copy, "--requests", 4, "--json")
    assert found["format_adherence_constrained"] == 1.0
