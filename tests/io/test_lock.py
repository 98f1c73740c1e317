"""One process a folder; a lock that is a link is refused, and nothing behind it is touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wotd_mlx.io.lock import locked
from wotd_mlx.schemas import BusyError, WotdError


def test_two_processes_cannot_hold_one_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from wotd_mlx.io.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="another training is writing to"), locked(tmp_path):
        pass
    other.communicate("")
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WotdError, match="can't be made"), locked(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_a_lock_that_is_a_link_is_refused_and_its_file_left_alone(tmp_path, there):
    victim, run = tmp_path / "victim.txt", tmp_path / "run"
    if there:
        victim.write_text("precious\n")
    run.mkdir()
    (run / ".lock").symlink_to(victim)
    with pytest.raises(WotdError, match="is a link; expected a plain file"), locked(run):
        pass
    assert victim.exists() == there
    assert not there or victim.read_text() == "precious\n"


def test_a_lock_with_content_keeps_it(tmp_path):
    (tmp_path / ".lock").write_text("precious")
    with locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "precious"


def test_a_lock_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(WotdError, match=r"\.lock is no plain file"), locked(tmp_path):
        pass


def test_taking_the_lock_removes_what_was_left_half_made(tmp_path):
    (tmp_path / "codes").mkdir()
    left = [tmp_path / ".corpus.jsonl.0123456789ab.tmp", tmp_path / "codes" / ".model.safetensors.ba9876543210.tmp"]
    for file in left:
        file.write_text("half")
    with locked(tmp_path):
        assert not any(file.exists() for file in left)
