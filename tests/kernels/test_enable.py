"""The host process: a bare import changes nothing, and a first use makes MLX fast."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.processes import python
from wotd_mlx.kernels import blas

ROOT = Path(__file__).parents[2]

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
    """For ``converters`` the package stands for all of it, since Python imports that first."""
    files = [*(ROOT / "wotd_mlx").rglob("*.py"), ROOT / "converters/__init__.py"]
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
from wotd_mlx.kernels import choice
from wotd_mlx.kernels import threads
with threads.one_blas_thread():
    print(choice.lanes(), (mx.full((3, 4), 2.0) @ mx.full((4, 5), 3.0)).tolist() == [[24.0] * 5] * 3)
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
    code = """
import os
os.environ.pop("GOMP_SPINCOUNT", None)
before = dict(os.environ)
from wotd_mlx import kernels
print(kernels.enable().state, dict(os.environ) == before)
"""
    assert python(code, XDG_CACHE_HOME=str(tmp_path)) == "on True"


@pytest.mark.parametrize(
    ("told", "core"),
    [
        ("flags : fpu avx2 fma avx512f avx512dq avx512bw avx512vl avx512_fp16", "SkylakeX"),
        ("flags : fpu avx2 fma avx512f", "Haswell"),
        ("flags : fpu avx", None),
        ("Features : asimd", None),
    ],
)
def test_openblas_is_told_which_loops_a_processor_that_it_does_not_know_can_run(told, core, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{told}\n")
    monkeypatch.setattr(blas, "_CPUINFO", tmp_path / "cpuinfo")
    assert blas._core() == ({"OPENBLAS_CORETYPE": core} if core else {})


@pytest.mark.skipif(not blas._core(), reason="needs a processor with AVX2")
def test_openblas_takes_them_unless_the_user_says_otherwise():
    code = """
import ctypes
from wotd_mlx import kernels
kernels.enable()
name = ctypes.CDLL(None).openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode())
"""
    assert python(code) == blas._core()["OPENBLAS_CORETYPE"]
    assert python(code, OPENBLAS_CORETYPE="Nehalem") == "Nehalem"


LANES = """
from wotd_mlx.kernels import choice
from wotd_mlx.kernels import threads
import mlx.core as mx
mx.set_default_device(mx.cpu)
with threads.one_blas_thread(): print(choice.lanes(), threads.blas_threads())
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
