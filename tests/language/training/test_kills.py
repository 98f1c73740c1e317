"""A training that is killed at any change it makes to its files: afterwards it ends as one that never was."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.crash import _dying as dying
from tests.language.conftest import load_folder
from tests.language.training.conftest import RECIPE, write_rows
from wotd_mlx.config.language import LanguageRecipe
from wotd_mlx.language import lora
from wotd_mlx.language.adapters import ADAPTERS, read_config
from wotd_mlx.language.training import train
from wotd_mlx.schemas import WotdError
from wotd_mlx.training import checkpoint

EVERY = 4
"""Of the changes, so many apart are tried."""
SMALL = replace(RECIPE, steps=2, evaluations=2, valid_rows=4, compile=False)
OTHER = replace(SMALL, seed=1)
CONTEXT = multiprocessing.get_context("forkserver")
# The first as in this process, or MLX there would call another BLAS, which rounds otherwise; the last for speed.
CONTEXT.set_forkserver_preload(
    ["tests.conftest", __name__, "mlx_lm.utils", "transformers.models.llama.configuration_llama"]
)


def train_until(n: int, tiny: Path, folder: Path, recipe: LanguageRecipe, fresh: bool, told: Path) -> None:
    """Train, and die before the ``n``-th change in the folder; the changes until then go to ``told``."""
    checkpoint.SAVE_SECONDS = 0.0
    language, changes = load_folder(tiny), list[str]()
    sys.addaudithook(dying(n, str(folder.resolve()), changes))
    list(train.train_language(folder, language, recipe, fresh=fresh))
    told.write_text(json.dumps(changes))


class Trainings:
    """Folders of trainings: whole, of another seed, halfway; each made in a process of its own."""

    def __init__(self, tiny: Path, root: Path):
        self.tiny, self.root = tiny, root
        (root / "rows").mkdir()
        write_rows(root / "rows")
        for name, recipe in (("whole", SMALL), ("other", OTHER)):
            shutil.copytree(root / "rows", root / name)
            self.run(root / name, recipe)
        changes = self.run(self.begin("rows"))
        second = [n for n, change in enumerate(changes, 1) if train.CHECKPOINT in change and "rename" in change][1]
        shutil.copytree(self.begin("rows", killed=second + 1), root / "halfway")

    def run(self, folder: Path, recipe: LanguageRecipe = SMALL, fresh: bool = False, killed: int = 0) -> list[str]:
        """Train in a folder; the changes it made there, if it isn't killed before one."""
        told = self.root / "changes.json"
        process = CONTEXT.Process(target=train_until, args=(killed, self.tiny, folder, recipe, fresh, told))
        process.start()
        process.join()
        assert process.exitcode == (-signal.SIGKILL if killed else 0)
        return [] if killed else list(json.loads(told.read_text()))

    def begin(self, name: str, killed: int = 0, fresh: bool = False) -> Path:
        """A folder like another, trained in until a change."""
        folder = self.root / "out"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / name, folder)
        if killed:
            self.run(folder, fresh=fresh, killed=killed)
        return folder

    def at_each_change(self, name: str, fresh: bool = False) -> Iterator[Path]:
        """A folder like another, killed once before each change that is tried."""
        folder = self.begin(name)
        count = len(self.run(folder, fresh=fresh))
        assert self.contents(folder) == self.contents(self.root / "whole")
        assert count > 10
        for n in range(1, count + 1, EVERY):
            yield self.begin(name, n, fresh)

    def contents(self, folder: Path) -> dict[str, Any]:
        """Name -> bytes of all files; of the history what two trainings share."""
        found: dict[str, Any] = {file.name: file.read_bytes() for file in folder.iterdir()}
        lines = json.loads(found[train.HISTORY])
        measured = ("seconds", "tokens_per_second", "peak_bytes")
        return found | {train.HISTORY: [{k: v for k, v in line.items() if k not in measured} for line in lines]}


@pytest.fixture(scope="module")
def trainings(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    return Trainings(tiny_folder, tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("begin", ["rows", "halfway"])
def test_a_killed_training_ends_as_one_that_never_was(trainings: Trainings, begin: str) -> None:
    for folder in trainings.at_each_change(begin):
        list(train.train_language(folder, load_folder(trainings.tiny), SMALL))
        assert trainings.contents(folder) == trainings.contents(trainings.root / "whole")


def refused(call: Callable[[], object]) -> str:
    """What a call is refused with; empty where it isn't."""
    try:
        call()
    except WotdError as error:
        return str(error)
    return ""


def test_a_training_killed_while_it_replaced_another(trainings: Trainings) -> None:
    """What is read then is the old one or the new one; gone on with it is whole, or told to be another."""

    def read() -> object:
        return lora.read_adapters(load_folder(trainings.tiny), folder)

    def go_on(fresh: bool = False) -> object:
        return list(train.train_language(folder, load_folder(trainings.tiny), SMALL, fresh=fresh))

    old = trainings.contents(trainings.root / "other")
    for folder in trainings.at_each_change("other", fresh=True):
        if told := refused(read):
            assert "\n" not in told
        else:
            origin = read_config(folder).wotd
            assert origin is not None
            is_old = (folder / ADAPTERS).read_bytes() == old[ADAPTERS]
            assert origin.recipe == (OTHER if is_old else SMALL)
            assert origin.finished == is_old
        if told := refused(go_on):
            assert "give --fresh" in told
            go_on(fresh=True)
        assert trainings.contents(folder) == trainings.contents(trainings.root / "whole")
