"""The host process: a bare import changes nothing, a first use makes MLX fast, and what is loaded is what we built."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import zlib
from itertools import count
from pathlib import Path

import pytest

from tests.processes import python
from wotd_mlx.kernels import library

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings its own fast BLAS"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]

STATUS = "from wotd_mlx.status import status; found = status()"


def test_a_bare_import_changes_nothing():
    code = """
import os, sys
def process():
    maps = {line.split(maxsplit=5)[-1] for line in open("/proc/self/maps") if ".so" in line}
    return maps, dict(os.environ), list(sys.meta_path), list(sys.path_hooks), os.listdir("/proc/self/fd")
events = []
sys.addaudithook(lambda event, _: events.append(event))
before, modules = process(), set(sys.modules)
events.clear()
import wotd_mlx
happened = set(events)
assert happened <= {"import", "os.listdir", "open", "marshal.loads", "compile", "exec"}, happened
assert process() == before
print(set(sys.modules) - modules)
"""
    assert python(code, PYTHONDONTWRITEBYTECODE="1") == "{'wotd_mlx'}"


@pytest.mark.parametrize(
    "use",
    [
        "import wotd_mlx; wotd_mlx.TrainingConfig",
        "from wotd_mlx import SemanticEncoder",
        "import wotd_mlx.encoder",
        "from wotd_mlx.codes.fsq import FSQ",
        "import wotd_mlx.schemas",
        "import converters",
    ],
)
def test_the_first_use_binds_mlx_to_openblas(use, tmp_path):
    """The dynamic linker itself tells whom libmlx.so calls."""
    python(f"{use}\nimport mlx.core", LD_DEBUG="bindings", LD_DEBUG_OUTPUT=str(tmp_path / "linker"))
    told = "".join(file.read_text(errors="replace") for file in tmp_path.glob("linker*"))
    bound = [line for line in told.splitlines() if "libmlx.so" in line and "`cblas_sgemm'" in line]
    assert bound
    assert all("openblas" in line.split(" to ")[1] for line in bound)


@pytest.mark.parametrize("use", ["from wotd_mlx import TrainingConfig", "import converters"])
def test_what_needs_no_mlx_yet_enables_it_too(use):
    code = f"""
import sys
{use}
assert "mlx.core" not in sys.modules
print("libopenblas" in open("/proc/self/maps").read())
"""
    assert python(code) == "True"


WALK = """
import ctypes, importlib, os, sys
# What many modules load, MLX apart.
import click, coremltools, faiss, huggingface_hub, numpy, safetensors.numpy, scipy, tokenizers, yaml
assert "mlx.core" not in sys.modules
assert not hasattr(ctypes.CDLL(None), "cblas_sgemm")
import wotd_mlx
LOADED, SLOW, WITHOUT = 0, 3, 4
class MLX:
    \"\"\"Asked after all others of those that come first: who answers, at the moment when MLX is looked for?\"\"\"
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "mlx.core":
            os._exit(LOADED if hasattr(ctypes.CDLL(None), "cblas_sgemm") else SLOW)
sys.meta_path.insert(0, MLX)
found = {LOADED: 0, SLOW: 0, WITHOUT: 0}
for name in sys.argv[1:]:
    if not (child := os.fork()):
        importlib.import_module(name)
        os._exit(WITHOUT)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in found, (name, code)
    found[code] += 1
    assert code != SLOW, f"{name} loads MLX without OpenBLAS"
print(found[LOADED], found[WITHOUT])
"""


def test_whatever_module_loads_mlx_openblas_is_there_before():
    files = [file for package in ("wotd_mlx", "converters") for file in (ROOT / package).rglob("*.py")]
    names = sorted(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    loading, without = map(int, python(WALK, *(name.removesuffix(".__init__") for name in names)).split())
    assert loading + without == len(names)
    assert loading > 100


def test_the_command_lines_help_loads_nothing_of_it(tmp_path):
    code = """
import sys
from wotd_mlx.cli import main
main(["train", "--help"], standalone_mode=False)
assert "openblas" not in open("/proc/self/maps").read()
"""
    python(code, XDG_CACHE_HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_variable_opts_out_of_all_of_it(tmp_path):
    code = f"""
import sys
started = []
def watch(event, given):
    if event in ("subprocess.Popen", "ctypes.dlopen") and given[0] is not None:  # ctypes opens the process itself
        started.append(given[0])
sys.addaudithook(watch)
from wotd_mlx import SemanticEncoder
import mlx.core as mx
assert not started, started
{STATUS}
assert found["kernels"].startswith("off: WOTD_MLX_KERNELS is 0"), found
assert [found[key] for key in ("blas", "openblas", "threads_library", "blas_threads")] == ["MLX's own"] + [None] * 3
mx.set_default_device(mx.cpu)
from wotd_mlx import backend
with backend.one_blas_thread():
    print(backend.lanes(), (mx.full((3, 4), 2.0) @ mx.full((4, 5), 3.0)).tolist() == [[24.0] * 5] * 3)
"""
    assert python(code, WOTD_MLX_KERNELS="0", XDG_CACHE_HOME=str(tmp_path)) == "1 True"
    assert list(tmp_path.iterdir()) == []


def test_status_tells_what_was_enabled_and_from_where(tmp_path):
    kernels, blas, openblas, threads = python(
        f"{STATUS}\nfor key in ('kernels', 'blas', 'openblas', 'threads_library'): print(found[key])",
        XDG_CACHE_HOME=str(tmp_path),
    ).splitlines()
    (kept,) = tmp_path.glob("wotd-mlx/threads-*.so")
    assert (kernels, threads) == ("on", str(kept))
    assert blas == f"OpenBLAS ({Path(openblas).name})"
    assert Path(openblas).is_file()


def test_status_tells_what_it_means_that_mlx_was_first():
    code = f"import mlx.core, wotd_mlx.encoder\n{STATUS}\nprint(found['kernels'], found['blas'], found['blas_threads'])"
    found = python(code)
    assert found.startswith("off: mlx was loaded before wotd_mlx was used")
    assert "30 times as long; import a name from wotd_mlx, or converters, before mlx" in found
    assert found.endswith("MLX's own None")


def test_without_faiss_the_status_names_the_command():
    hidden = "import importlib.util; importlib.util.find_spec = lambda name: None"
    found = python(f"{hidden}\nfrom wotd_mlx import kernels; print(kernels.enable().state)")
    assert found.startswith("off: no OpenBLAS")
    assert found.endswith("`pip install faiss-cpu` brings it")


def test_an_openblas_that_cannot_be_loaded_leaves_mlx_as_it_is(tmp_path):
    """All that is raised on the way to MLX would be raised by ``import mlx.core``."""
    package = tmp_path / "faiss"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "faiss_cpu.libs").mkdir()
    (tmp_path / "faiss_cpu.libs" / "libopenblas-0.so").write_text("not a library")
    code = "import wotd_mlx.codes.fsq, mlx.core; from wotd_mlx import kernels; print(kernels.enable().state)"
    assert python(code, PYTHONPATH=str(tmp_path)).startswith("off: OpenBLAS can't be loaded")


def test_loading_leaves_the_environment_as_it_was(tmp_path):
    code = "import os; before = dict(os.environ); from wotd_mlx import kernels; kernels.enable()"
    assert python(f"{code}\nprint(dict(os.environ) == before)", XDG_CACHE_HOME=str(tmp_path)) == "True"


LANES = """
from wotd_mlx import backend
import mlx.core as mx
mx.set_default_device(mx.cpu)
with backend.one_blas_thread(): print(backend.lanes(), backend.blas_threads())
"""


def test_without_a_compiler_matmuls_keep_their_threads(tmp_path):
    there = {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "2"}
    assert python(LANES, PATH=str(tmp_path), **there) == "1 2"
    code = f"{STATUS}\nprint(found['kernels'], found['threads_library'])"
    assert python(code, PATH=str(tmp_path), **there).startswith("on none: [Errno 2] No such file or directory: 'g++'")
    assert python(LANES, **there) == "2 1"
    assert python(LANES, PATH=str(tmp_path), **there) == "2 1"  # what is kept needs no compiler


def test_an_unusable_cache_folder_does_no_harm(tmp_path):
    (tmp_path / "wotd-mlx").write_text("a file where a folder should be")
    found = python(f"{STATUS}\nprint(found['blas'], found['threads_library'])", XDG_CACHE_HOME=str(tmp_path))
    assert found.startswith("OpenBLAS")
    assert "none: " in found


# What is kept


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


def test_what_a_killed_compiler_left_is_removed_by_the_next(folder, tmp_path):
    """A compiler that never ends, and is killed with its caller."""
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
    compiler.chmod(0o755)
    code = """
import subprocess, sys
run = subprocess.run
subprocess.run = lambda *given, **options: run(*given, **{**options, "capture_output": False})
from wotd_mlx.kernels import library
library.load("test", "int a;", [])
"""
    path = f"{compiler.parent}:{os.environ['PATH']}"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"started\n"
        assert len(list(folder.glob("building-*"))) == 1
        first = Kept().load()  # somebody builds: nothing is removed
        assert len(list(folder.glob("building-*"))) == 1
        os.killpg(child.pid, 9)
    second = Kept().load()
    assert {str(file) for file in folder.iterdir()} == {first, second}


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
