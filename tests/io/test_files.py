"""Files and folders are whole or not there; what dead processes leave is removed, what living ones make is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wotd_mlx.io import files
from wotd_mlx.io.files import appearing, append_lines, read_bytes, read_text, sweep, write_atomically
from wotd_mlx.schemas import MissingError, WotdError

WORKING = """
import sys, os
from pathlib import Path
from wotd_mlx.io.files import appearing, write_atomically
def work(made):
    print(made, flush=True)
    sys.stdin.readline()
with appearing(Path(sys.argv[1]) / "bundle") as made:
    made.mkdir()
    (made / "half").write_text("half")
    def fill(file):
        file.write(b"half")
        file.flush()
        work("at work")
    write_atomically(Path(sys.argv[1]) / "vectors", fill)
"""


def at_work(folder: Path) -> subprocess.Popen[str]:
    """A process that has begun a file and a folder in ``folder``, and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


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


def test_a_name_of_the_most_letters_can_be_written(tmp_path):
    write_atomically(tmp_path / ("a" * 255), b"x")
    assert (tmp_path / ("a" * 255)).read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_new_one_takes_the_place_of_the_old_in_one_step(tmp_path, kind, monkeypatch):
    out, seen = tmp_path / "out", list[str]()

    def make(path: Path, content: str) -> None:
        if kind == "folder":
            path.mkdir()
        (path / "x" if kind == "folder" else path).write_text(content)

    def read() -> str:
        return (out / "x" if kind == "folder" else out).read_text()

    make(out, "old")
    for name in ("rename", "replace"):  # a moment without a bundle would be a rename of ours
        monkeypatch.setattr(Path, name, lambda *_: pytest.fail("the old one was moved away first"))
    with appearing(out) as made:
        make(made, "new")
        seen.append(read())
    assert [*seen, read()] == ["old", "new"]
    assert list(tmp_path.iterdir()) == [out]


def test_where_names_cannot_be_swapped_it_is_said_and_done_in_two_steps(tmp_path, monkeypatch, caplog):
    class Library:
        def renameat2(self, *_: object) -> int:
            files.ctypes.set_errno(22)
            return -1

        renamex_np = renameat2

    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: Library())
    out = tmp_path / "out"
    out.mkdir()
    with appearing(out) as made:
        made.mkdir()
        (made / "new").write_text("")
    assert [f.name for f in out.iterdir()] == ["new"]
    assert "swaps no names" in caplog.text
    assert list(tmp_path.iterdir()) == [out]


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(FileExistsError), appearing(out) as made:
        (made / "deep").mkdir(parents=True) or made.mkdir()
    assert [f.name for f in tmp_path.iterdir()] == ["out"]


def test_what_a_living_process_works_on_stays_and_what_a_dead_one_left_goes(tmp_path):
    process = at_work(tmp_path)
    begun = set(tmp_path.iterdir())
    assert len(begun) == 2
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == begun
    process.kill()
    process.wait()
    (tmp_path / ".hidden.tmp").write_text("a user's own")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".a.0123456789ab.tmp").write_text("left")
    sweep(tmp_path, deep=False)
    assert {f.name for f in tmp_path.iterdir()} == {".hidden.tmp", "deep"}
    assert len(list((tmp_path / "deep").iterdir())) == 1
    sweep(tmp_path)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_process_that_was_not_killed_ends_its_work(tmp_path):
    process = at_work(tmp_path)
    sweep(tmp_path)
    process.communicate("\n")
    assert {f.name for f in tmp_path.iterdir()} == {"bundle", "vectors"}
    assert (tmp_path / "bundle" / "half").read_text() == "half"


def test_making_a_folder_appear_sweeps_beside_it(tmp_path):
    process = at_work(tmp_path)
    process.kill()
    process.wait()
    with appearing(tmp_path / "other") as made:
        made.mkdir()
    assert [f.name for f in tmp_path.iterdir()] == ["other"]


def test_a_link_with_the_name_of_a_leftover_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "a").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".x.0123456789ab.tmp").symlink_to(precious)
    sweep(tmp_path / "run")
    assert (precious / "a").exists()


def unreadable(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pipe", "it is a pipe, expected a file; give words"),
        ("folder", "it is a folder, expected a file; give words"),
        ("device", "it is a device, expected a file; give words"),
        ("loop", "it can't be read"),
        ("missing", "no file "),
    ],
)
def test_what_is_no_file_is_refused_at_once(tmp_path, kind, message):
    with pytest.raises(WotdError) as caught:
        read_bytes(unreadable(tmp_path, kind), "give words")
    assert message in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError) == isinstance(caught.value, MissingError) == (kind == "missing")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "a/" * 3000])
def test_names_that_no_file_has_are_refused(path):
    with pytest.raises(WotdError, match="can't be read"):
        read_bytes(Path(path), "give words")


def test_a_file_larger_than_allowed_is_refused_unread(tmp_path):
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(1 << 40)  # a hole: takes no room
    with pytest.raises(WotdError, match=r"1,099,511,627,776 bytes, expected at most"):
        read_bytes(file, "give words")


def test_texts_lose_their_byte_order_mark_and_name_the_byte_that_is_no_text(tmp_path):
    file = tmp_path / "t"
    file.write_bytes("\ufeffnaïve".encode())
    assert read_text(file, "give words") == "naïve"
    file.write_bytes(b"ab\xff")
    with pytest.raises(WotdError, match=r"not UTF-8 \(byte 3\)"):
        read_text(file, "give words")


def test_lines_are_added_behind_what_is_there(tmp_path):
    file, link = tmp_path / "new" / "words", tmp_path / "link"
    append_lines(file, b"a\nb\n")
    assert file.read_bytes() == b"a\nb\n"
    file.write_bytes(b"a\n\xff")
    link.symlink_to(file)
    append_lines(link, b"c\n")
    assert link.is_symlink()
    assert file.read_bytes() == b"a\n\xff\nc\n"


ADDING = """
import sys
from pathlib import Path
from wotd_mlx.io.files import append_lines
print("ready", flush=True)
sys.stdin.readline()
for n in range(200):
    append_lines(Path(sys.argv[1]), f"{sys.argv[2]} {n}\\n".encode() * 3)
"""


def test_lines_of_several_processes_are_all_there(tmp_path):
    file, names = tmp_path / "words", ("a", "b", "c")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, str(file), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.communicate("go\n")
        assert worker.returncode == 0
    lines = file.read_text().splitlines()
    assert [line for line in lines[::3] if line[0] == "a"] == [f"a {n}" for n in range(200)]
    assert sorted(lines) == sorted([f"{name} {n}" for name in names for n in range(200)] * 3)
    assert lines[::3] == lines[1::3] == lines[2::3], "three lines that were added together stay together"


def test_lines_that_have_no_room_leave_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "words"
    file.write_bytes(b"a\nb")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WotdError, match=r"words can't be written \(No space left"):
        append_lines(file, b"c\n")
    assert file.read_bytes() == b"a\nb"


def test_lines_go_into_plain_files_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, told in (("pipe", "is a pipe"), ("", "can't be written"), ("a/" * 3000, "can't be"), ("a\0b", "null")):
        with pytest.raises(WotdError, match=told):
            append_lines(tmp_path / path, b"c\n")
    with pytest.raises(WotdError, match="/dev/null is a device"):
        append_lines(Path("/dev/null"), b"c\n")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
