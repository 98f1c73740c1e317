"""What the workflows call is there: make's targets, the package's commands and options, benchmarks, scripts."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from wotd_mlx.cli import main

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(file: Path) -> list[dict]:
    return [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]


def called(pattern: str) -> list[tuple[str, ...]]:
    """What ``pattern`` finds in the workflows' commands."""
    commands = [step["run"] for file in WORKFLOWS for step in steps(file) if "run" in step]
    return [match.groups() for command in commands for match in re.finditer(pattern, command, re.MULTILINE)]


def test_there_are_workflows_for_both_systems():
    assert [file.name for file in WORKFLOWS] == ["ci.yml", "macos.yml"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_step_runs_something_or_uses_a_version(file):
    for step in steps(file):
        assert ("run" in step) != ("uses" in step), step
        assert "run" in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step


def test_make_knows_every_target():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    found = {target for (target,) in called(r"^make ([a-z]+)")}
    assert found >= {"lint", "test", "train"}
    assert found <= set(targets)


def test_commands_and_their_options_are_known():
    found = called(r"wotd-mlx ([a-z]+) ([a-z-]+)(.*)$")
    assert {(command, target) for command, target, _ in found} == {
        *(("export", "text-encoder"), ("export", "encoder"), ("export", "decoder")),
    }
    for command, target, rest in found:
        shown = CliRunner().invoke(main, [command, "--help"])
        assert shown.exit_code == 0, shown.output
        for word in (target, *re.findall(r"--[a-z-]+", rest)):
            assert word in shown.output, f"wotd-mlx {command}: {word}"


def test_benchmarks_and_their_options_are_known():
    found = called(r"python -m (benchmarks\.\w+)(.*)$")
    assert found
    for module, rest in found:
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text()
        for option in re.findall(r"--[a-z-]+", rest):
            assert f'"{option}"' in source, f"{module}: {option}"


def test_scripts_can_be_run():
    for (script,) in called(r"^(\.ci/\w+)"):
        assert (ROOT / script).stat().st_mode & 0o100, script


def test_the_swift_package_is_exported_with_the_bundle():
    folders = {step["working-directory"] for file in WORKFLOWS for step in steps(file) if "working-directory" in step}
    assert folders == {"build/bundle/WOTDKit"}
    assert (ROOT / "wotd_mlx" / "export" / "WOTDKit" / "Package.swift").is_file()
