"""A training that is killed at any change it makes to its files: afterwards it ends as one that never was."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import pytest
from click.testing import CliRunner

from tests.crash import events, kill_at
from tests.lvm.test_cli import write_data
from wotd_mlx.cli import main
from wotd_mlx.lvm.store import ModelFolder
from wotd_mlx.schemas import WotdError

EVERY = 7
"""Of the changes, so many apart are tried."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of trainings by name, and what the command for them is: whole, of another seed, killed after an epoch."""
    folder = tmp_path_factory.mktemp("kills")
    table, vectors = write_data(folder)

    def command(out, *more):
        small = ("--context", 5, "--epochs", 2, "--batch", 16, "--base", "none", "--contrastive", 0, "--ema", 0)
        return ("lvm", "train", "gru", "--data", table, "--embedding", vectors, "--out", out, *small, *more)

    for name, more in (("whole", ()), ("other", ("--seed", 1))):
        assert run(command(folder / name, *more)) == ""
    second = [n for n, change in enumerate(events(folder / "count", command(folder / "count")), 1) if "best" in change]
    kill_at(second[2], folder / "halfway", command(folder / "halfway"))
    assert ModelFolder(folder / "halfway", "gru").checkpoint.exists()
    return folder, command


def run(argv):
    """Its one line of error; empty where all went well."""
    result = CliRunner().invoke(main, list(map(str, argv)))
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(errors)) in ((0, 0), (1, 1)), result.output
    return errors[0] if errors else ""


def contents(out):
    """Name -> bytes of a training's files; of its history what two runs share."""
    folder = ModelFolder(out, "gru")
    found = {file.name: file.read_bytes() for file in folder.path.iterdir()}
    lines = json.loads(found[folder.history.name])
    shared = [{k: v for k, v in line.items() if k not in ("seconds", "peak_bytes")} for line in lines]
    return found | {folder.history.name: shared}


def at_each_change(made, begin, *more):
    """A folder like ``begin``, once for each change of the command that is tried, killed there."""
    folder, command = made
    out, copy = folder / "out", folder / "copy"

    def fresh(path):
        shutil.rmtree(path, ignore_errors=True)
        if begin:
            shutil.copytree(folder / begin, path)
        return path

    count = len(events(out, command(fresh(out), *more)))
    assert contents(out) == contents(folder / "whole")
    assert count > 9
    for n in range(1, count + 1, EVERY):
        kill_at(n, fresh(out), command(out, *more))
        shutil.rmtree(copy, ignore_errors=True)
        if out.exists():
            shutil.copytree(out, copy)
        yield out, copy


@pytest.mark.parametrize("begin", ["", "halfway"])
def test_a_killed_training_ends_as_one_that_never_was(made, begin):
    folder, command = made
    for out, _ in at_each_change(made, begin):
        assert run(command(out)) == ""
        assert contents(out) == contents(folder / "whole")


def test_a_training_killed_while_it_replaced_another_is_the_old_one_the_new_one_or_an_error(made):
    folder, command = made
    best = {name: ModelFolder(folder / name, "gru").best.read_bytes() for name in ("other", "halfway", "whole")}
    old, new = (ModelFolder(folder / name, "gru").settings() for name in ("other", "whole"))
    for out, copy in at_each_change(made, "other", "--fresh"):
        found = ModelFolder(copy, "gru")
        with suppress(WotdError):
            _, told = found.load()
            assert told in (old, new)
            assert found.best.read_bytes() in ((best["other"],) if told == old else (best["halfway"], best["whole"]))
        if error := run(command(copy)):
            assert "--fresh" in error
        else:
            assert contents(copy) == contents(folder / "whole")
        assert run(command(out, "--fresh")) == ""
        assert contents(out) == contents(folder / "whole")
