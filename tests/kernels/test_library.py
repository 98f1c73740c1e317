"""The library that is compiled once a user: what is loaded is what we built, whatever lies in the cache."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.processes import python
from wotd_mlx.kernels import library

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only there anything is compiled"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wotd-mlx"


_numbers = count()


class Kept:
    """A library of one function, another one each time: a process doesn't load the same twice."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.symbol = f"wotd_test_{self.number}"
        self.source = f"int {self.symbol}(void) {{ return {self.number}; }}"

    def load(self) -> str:
        """Where the library is from, once its answer is right."""
        loaded, told = library.load("test", self.source, [self.symbol])
        assert getattr(loaded, self.symbol)() == self.number
        return told


def named(file: Path, content: bytes) -> Path:
    """The name under which this content would be believed."""
    return file.with_name(f"{file.stem.rsplit('-', 1)[0]}-{zlib.crc32(content):08x}.so")


def test_it_is_compiled_once_and_for_this_user_alone(folder, monkeypatch):
    kept = Kept()
    before = os.umask(0o002)
    try:
        told = kept.load()
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert told == str(file)
    assert [path.stat().st_mode & 0o777 for path in (folder, file)] == [0o700, 0o600]
    monkeypatch.setenv("PATH", "")
    assert kept.load() == told


def garbage(file: Path) -> None:
    file.write_bytes(b"not a library")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def garbage_by_its_own_checksum(file: Path) -> None:
    file.write_bytes(b"not a library")
    file.rename(named(file, b"not a library"))


def truncated_by_its_own_checksum(file: Path) -> None:
    content = file.read_bytes()[:200]
    file.write_bytes(content)
    file.rename(named(file, content))


def another_library(file: Path) -> None:
    """Whole, and by its own checksum, but without the symbols."""
    subprocess.run(["g++", "-x", "c", "-shared", "-", "-o", file], input=b"int other;", check=True)
    file.chmod(0o600)
    file.rename(named(file, file.read_bytes()))


def written_by_others(file: Path) -> None:
    file.chmod(0o666)


def written_by_the_group(file: Path) -> None:
    file.chmod(0o620)


def a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def of_an_earlier_version(file: Path) -> None:
    file.rename(file.with_name(f"{file.stem.rsplit('-', 1)[0]}.so"))


HARMS = [
    garbage,
    empty,
    truncated,
    garbage_by_its_own_checksum,
    truncated_by_its_own_checksum,
    another_library,
    written_by_others,
    written_by_the_group,
    a_link,
    a_pipe,
    of_an_earlier_version,
]


@pytest.mark.parametrize("harm", HARMS)
def test_a_broken_one_is_built_anew(folder, harm, monkeypatch):
    kept = Kept()
    # Made in a process of its own: in this one it isn't loaded yet.
    code = "from wotd_mlx.kernels import library; import sys; library.load('test', *sys.argv[1:2], [])"
    python(code, kept.source)
    (file,) = folder.iterdir()
    harm(file)
    assert "(built anew: " in kept.load()
    (found,) = folder.glob("test-*.so")
    assert found.read_bytes()[:4] == b"\x7fELF"
    assert found == named(found, found.read_bytes())
    monkeypatch.setenv("PATH", "")
    assert kept.load() == str(found)


def test_a_folder_in_its_place_is_an_error(folder):
    kept = Kept()
    a_folder(Path(kept.load()))
    with pytest.raises(OSError, match="irectory"):
        kept.load()


def test_a_file_of_another_users_is_not_loaded(folder, monkeypatch):
    kept = Kept()
    file = Path(kept.load())
    owner = file.stat().st_uid
    opened = os.fstat

    def of_others(descriptor: int) -> os.stat_result:
        found = opened(descriptor)
        if found.st_ino != file.stat().st_ino:
            return found
        return os.stat_result([*found[:4], owner + 1, *found[5:]])

    monkeypatch.setattr(library.os, "fstat", of_others)
    with pytest.raises(OSError, match="is not a file that this user alone may write"):
        library._load(file, [kept.symbol])


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(OSError, match=r"others may write in .*wotd-mlx: make it this user's own, and `chmod go-w` it"):
        Kept().load()
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_not_used(folder, monkeypatch):
    monkeypatch.setattr(library.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OSError, match="others may write in"):
        Kept().load()


def test_a_link_to_a_folder_is_not_followed(folder):
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        Kept().load()
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def stuck(folder, tmp_path):
    """Start a process whose compiler never ends; to be killed with it."""
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
    compiler.chmod(0o755)
    code = """
import subprocess
run = subprocess.run
subprocess.run = lambda *given, **options: run(*given, **{**options, "capture_output": False})
from wotd_mlx.kernels import library
library.load("stuck", "int a;", [])
"""
    children = []

    def start() -> Callable[[], None]:
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PATH": f"{compiler.parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"started\n"

        def kill() -> None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()

        return kill

    yield start
    for child in children:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()


def test_what_killed_compilers_left_is_removed_once_nobody_builds(folder, stuck):
    def building() -> int:
        return len(list(folder.glob("building-*")))

    kill_first = stuck()
    kill_second = stuck()
    kept = [Kept().load()]
    assert building() == 2
    kill_first()
    kept.append(Kept().load())
    assert building() == 2  # the second still builds in one of them
    kill_second()
    kept.append(Kept().load())
    assert {str(file) for file in folder.iterdir()} == set(kept)


def test_many_at_once_build_the_same(folder):
    kept = Kept()
    code = f"""
import sys
from wotd_mlx.kernels import library
sys.stdin.read()
loaded, told = library.load("test", {kept.source!r}, [{kept.symbol!r}])
print(loaded.{kept.symbol}(), told)
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    found = {process.communicate()[0] for process in processes}
    (file,) = folder.iterdir()
    assert found == {f"{kept.number} {file}\n"}


def test_what_is_loaded_is_in_the_global_namespace(folder):
    kept = Kept()
    kept.load()
    assert getattr(ctypes.CDLL(None), kept.symbol)() == kept.number
