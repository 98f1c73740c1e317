"""Each part on a few inputs, always the same; and that the frame sees what it should see."""

from __future__ import annotations

import importlib
import random
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fuzz import __main__, frame
from tests.fuzz.frame import PARTS, attempt, run, survey, write

TOY = """
import os, signal, time

class Refused(Exception):
    pass

documented = (Refused,)

def make(rng):
    return rng.choice(KINDS)

def read(made):
    if made == "refused":
        raise Refused("a line")
    if made == "two lines":
        raise Refused("a line\\nand another")
    if made == "odd":
        raise TypeError("odd")
    if made == "panic":
        raise BaseException("panic")
    if made == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if made == "slow":
        time.sleep(60)
"""


@pytest.mark.parametrize("name", PARTS)
def test_part(name: str) -> None:
    part: Any = importlib.import_module(PARTS[name])
    tally = survey(part, part.quick)
    assert tally.first is None
    assert tally.refused > part.quick // 10
    assert tally.accepted > 0
    assert tally.refused + tally.accepted == tally.inputs == part.quick


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a module ``toy`` whose inputs are of the kinds given, and tells of which kind each seed's is."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)

    def made(*kinds: str) -> list[str]:
        (tmp_path / "toy.py").write_text(f"KINDS = {kinds!r}\n{TOY}")
        return [random.Random(seed).choice(kinds) for seed in range(20)] if kinds else []

    return made


def test_all_that_is_not_documented_is_counted(toy: Any) -> None:
    kinds = toy("accepted", "refused", "two lines", "odd", "panic", "signal")
    count = Counter(kinds)
    assert len(count) == 6
    tally = run("toy", len(kinds))
    assert (tally.inputs, tally.refused, tally.accepted) == (20, count["refused"], count["accepted"])
    assert tally.undocumented == 20 - tally.refused - tally.accepted
    assert tally.first is not None
    assert tally.first[0] == next(n for n, kind in enumerate(kinds) if kind not in ("accepted", "refused"))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("two lines", "2 lines of Refused: Refused('a line\\nand another')"),
        ("odd", "TypeError: odd (toy.py:"),
        ("panic", "BaseException: panic (toy.py:"),
        ("signal", "the process ended: SIGKILL"),
        ("slow", "no answer in 1 s"),
    ],
)
def test_what_each_did_is_told(kind: str, what: str, toy: Any) -> None:
    toy(kind)
    tally = run("toy", 1, seed=7, patience=1)
    assert tally.undocumented == 1
    assert tally.first is not None
    assert tally.first[0] == 7
    assert tally.first[1].startswith(what)


def test_a_part_that_makes_nothing_is_no_finding(toy: Any) -> None:
    toy()
    with pytest.raises(RuntimeError, match="toy makes no input of seed 3: exit 1"):
        run("toy", 1, seed=3)


def test_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([1 << 20, 3 << 30])
    monkeypatch.setattr(frame, "peak", lambda: next(peaks))
    part: Any = SimpleNamespace(documented=(ValueError,), read=len)
    assert attempt(part, b"") == "took 3071 MiB"


def test_the_command_says_how_to_see_it_again(
    toy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "PARTS", {"toy": "toy"})
    monkeypatch.setattr(sys, "argv", ["fuzz", "toy", "-n", "2", "--seed", "5"])
    toy("refused")
    assert __main__.main() == 0
    assert capsys.readouterr().out == "toy: 2 inputs, 2 refused, 0 accepted, 0 undocumented\n"
    toy("odd")
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    assert __main__.main() == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "toy: 2 inputs, 0 refused, 0 accepted, 2 undocumented"
    assert second.startswith("  seed 5: TypeError: odd")
    saved, again = third.removeprefix("  saved as ").split("; again: ")
    assert Path(saved).read_text() == "odd"
    assert again == "python -m tests.fuzz toy -n 1 --seed 5"


def test_inputs_are_written_as_files_or_folders(tmp_path: Path) -> None:
    write(tmp_path / "bytes", b"\xff")
    write(tmp_path / "text", "é\ud800")
    write(tmp_path / "folder", {"a/b": b"1", "c": b"2"})
    assert (tmp_path / "bytes").read_bytes() == b"\xff"
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9\xed\xa0\x80"
    assert (tmp_path / "folder/a/b").read_bytes() == b"1"
    assert (tmp_path / "folder/c").read_bytes() == b"2"
