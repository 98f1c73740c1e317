"""Files are whole or not there; one training at a time; damage is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from wotd_mlx import files
from wotd_mlx.files import locked, write_atomically
from wotd_mlx.run_folder import RunFolder
from wotd_mlx.schemas import WotdError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_atomically(file, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*a\.json"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_files_have_the_permissions_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_json_reads_back_whatever_its_form(tmp_path):
    run = RunFolder(tmp_path)
    for content in (
        {},
        [],
        {"a": {"b": [1, 2], "c": {}}, "ü": None},
        [{"epoch": 1}, {"epoch": 2}],
        {"x": [0.5, "\n"]},
    ):
        run.write_json(run.metrics, content)
        assert run.read_json(run.metrics) == content


def test_arrays_read_back_with_their_shapes(tmp_path):
    run = RunFolder(tmp_path)
    arrays = {"scalar": np.float32(3).reshape(()), "table": np.arange(6, dtype=np.float32).reshape(3, 2).T}
    run.write_arrays(run.model, arrays)
    found = run.read_arrays(run.model)
    assert {name: a.shape for name, a in found.items()} == {"scalar": (), "table": (2, 3)}
    assert (found["table"] == arrays["table"]).all()


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(WotdError, match=r"no run folder .*absent; make one with"):
        RunFolder(tmp_path / "absent").read_json(tmp_path / "absent" / "config.json")
    run = RunFolder(tmp_path)
    with pytest.raises(WotdError, match=r"has no codes/model.safetensors, so it holds no finished run"):
        run.read_arrays(run.model)
    run.write_arrays(run.model, {"a": np.ones(100, np.float32)})
    run.model.write_bytes(run.model.read_bytes()[:200])
    with pytest.raises(WotdError, match="can't be read as safetensors"):
        run.read_arrays(run.model)
    run.metrics.write_text('{"a": ')
    with pytest.raises(WotdError, match="can't be read"):
        run.read_json(run.metrics)


def test_two_processes_cannot_hold_one_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from wotd_mlx.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(WotdError, match="another training is writing to"), locked(tmp_path):
        pass
    other.communicate("")
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WotdError, match="can't be made"), locked(tmp_path / "file" / "run"):
        pass


def test_json_is_one_entry_a_line(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json(run.semantic_ids, {"words": {"a": [1, 2], "b": [3, 4]}})
    assert run.semantic_ids.read_text() == '{\n  "words": {\n    "a": [1, 2],\n    "b": [3, 4]\n  }\n}\n'
    assert json.loads(run.semantic_ids.read_text())["words"]["b"] == [3, 4]
