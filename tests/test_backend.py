"""Which device, which BLAS, how many threads, how much memory."""

from __future__ import annotations

import json
import subprocess
import sys

import mlx.core as mx
import pytest

from wotd_mlx import backend
from wotd_mlx.schemas import WotdError
from wotd_mlx.status import status

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere MLX brings its own fast BLAS")

WHO_ANSWERS = """
import ctypes
class Found(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("a", ctypes.c_void_p), ("b", ctypes.c_char_p), ("c", ctypes.c_void_p)]
def owner(symbol):
    process = ctypes.CDLL(None)
    process.dladdr.argtypes = [ctypes.c_void_p, ctypes.POINTER(Found)]
    found = Found()
    assert process.dladdr(ctypes.cast(getattr(process, symbol), ctypes.c_void_p), ctypes.byref(found))
    return found.file.decode()
"""


def python(code: str, **environment: str) -> str:
    """What ``code`` prints in a process of its own."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@linux
def test_openblas_answers_where_we_are_imported_first():
    code = f"import wotd_mlx, mlx.core as mx\n{WHO_ANSWERS}\nprint(owner('cblas_sgemm'))"
    assert "openblas" in python(code)


@linux
def test_mlx_keeps_its_own_blas_where_it_was_imported_first():
    code = f"""
import mlx.core as mx, wotd_mlx
{WHO_ANSWERS}
from wotd_mlx import backend
print(backend.preload_blas())
print(hasattr(ctypes.CDLL(None), "cblas_sgemm") and owner("cblas_sgemm"))
print(backend.blas_threads())
"""
    said, answers, threads = python(code).splitlines()
    assert "import wotd_mlx first" in said
    assert "openblas" not in answers
    assert threads == "None"


@linux
def test_without_faiss_the_status_names_the_command():
    hidden = "import importlib.util; importlib.util.find_spec = lambda name: None"
    code = f"{hidden}\nfrom wotd_mlx import backend; print(backend.preload_blas())"
    assert "pip install faiss-cpu" in python(code)


@linux
def test_without_a_compiler_matmuls_keep_their_threads(tmp_path):
    code = (
        "from wotd_mlx import backend; import mlx.core as mx; mx.set_default_device(mx.cpu)\n"
        "with backend.one_blas_thread(): print(backend.lanes(), backend.blas_threads())"
    )
    found = python(code, PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), OMP_NUM_THREADS="2")
    assert found == "1 2"
    assert python(code, XDG_CACHE_HOME=str(tmp_path), OMP_NUM_THREADS="2") == "2 1"


@linux
def test_an_unusable_cache_folder_does_no_harm(tmp_path):
    (tmp_path / "wotd-mlx").write_text("a file where a folder should be")
    assert "OpenBLAS" in python(
        "from wotd_mlx import backend; print(backend.preload_blas())", XDG_CACHE_HOME=str(tmp_path)
    )


@linux
def test_loading_leaves_the_environment_as_it_was():
    code = "import os; before = dict(os.environ); import wotd_mlx; print(dict(os.environ) == before)"
    assert python(code) == "True"


def test_one_blas_thread_nests_and_ends():
    before = backend.blas_threads()
    with backend.one_blas_thread():
        with backend.one_blas_thread():
            pass
        if backend._override() is not None:
            assert backend.blas_threads() == 1
    assert backend.blas_threads() == before


def test_devices():
    before = mx.default_device()
    try:
        assert backend.select_device("cpu") == mx.Device(mx.cpu)
        assert backend.select_device("auto") == mx.default_device()
        absent = [
            name
            for name, there in (("metal", mx.metal.is_available()), ("cuda", backend._cuda_available()))
            if not there
        ]
        for name in absent:
            with pytest.raises(WotdError, match="cpu"):
                backend.select_device(name)
        with pytest.raises(WotdError, match="expected one of auto, metal, cuda, cpu"):
            backend.select_device("tpu")
    finally:
        mx.set_default_device(before)


def test_memory_over_the_limit_is_one_clear_line():
    assert backend.check_memory(backend.peak_bytes() * 2) > 0
    with pytest.raises(WotdError, match=r"peak memory .* GB over the limit 0\.00 GB; lower"):
        backend.check_memory(1)


def test_the_memory_limit_reaches_mlx():
    try:
        backend.set_memory_limit(3 * backend.GIB)
        assert mx.get_memory_limit() == 3 * backend.GIB
        assert status()["memory_limit"] == backend.memory_limit() == 3 * backend.GIB
        with pytest.raises(WotdError, match="above zero"):
            backend.set_memory_limit(0)
    finally:
        backend.set_memory_limit()


def test_the_status_is_plain_and_downloads_nothing(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    found = status()
    assert json.loads(json.dumps(found)) == found
    assert found["mlx"]
    assert found["kind"] in ("cpu", "metal", "cuda")
    assert found["embedding"].endswith("all-MiniLM-L6-v2")
