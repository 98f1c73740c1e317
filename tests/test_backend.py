"""Which device, how many threads, how much memory."""

from __future__ import annotations

import json
from itertools import permutations

import mlx.core as mx
import pytest

from wotd_mlx import backend
from wotd_mlx.kernels import threads
from wotd_mlx.kernels.threads import override
from wotd_mlx.schemas import WotdError
from wotd_mlx.status import status
from wotd_mlx.words.dictionary import load_dictionary


def test_one_blas_thread_nests_and_ends():
    before = threads.blas_threads()
    with threads.one_blas_thread():
        with threads.one_blas_thread():
            pass
        if override() is not None:
            assert threads.blas_threads() == 1
    assert threads.blas_threads() == before


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


def limits() -> tuple[int, int, int]:
    """Ours and MLX's two, which tell what they are only as they are replaced."""
    memory, cache = mx.set_memory_limit(1 << 40), mx.set_cache_limit(1 << 40)
    mx.set_memory_limit(memory)
    mx.set_cache_limit(cache)
    return backend.memory_limit(), memory, cache


@pytest.fixture
def host():
    """Limits that a host process has set for itself."""
    before, memory, cache = backend.memory_limit(), mx.set_memory_limit(5 << 30), mx.set_cache_limit(7 << 20)
    yield backend.memory_limit(), 5 << 30, 7 << 20
    mx.set_memory_limit(memory)
    mx.set_cache_limit(cache)
    backend._Limit.bytes = before


def test_the_memory_limit_reaches_mlx(host):
    backend.set_memory_limit(3 * backend.GIB)
    assert limits() == (3 << 30, 3 << 30, 3 * 2**30 // 32)
    assert status()["memory_limit"] == 3 << 30
    with pytest.raises(WotdError, match="above zero"):
        backend.set_memory_limit(0)


def test_a_limit_for_a_while_leaves_the_hosts_as_they_were(host):
    with backend.memory_limited(3 * backend.GIB):
        assert limits() == (3 << 30, 3 << 30, 3 * 2**30 // 32)
    assert limits() == host
    with pytest.raises(KeyError), backend.memory_limited(3 * backend.GIB):
        raise KeyError
    assert limits() == host
    with pytest.raises(WotdError, match="above zero"), backend.memory_limited(-1):
        pass
    assert limits() == host


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_limits_end_in_any_order(host, order):
    inside = [backend.memory_limited(gigabytes << 30) for gigabytes in (3, 4, 3)]
    for limited in inside:
        limited.__enter__()
    left = [3, 4, 3]
    places = [0, 1, 2]
    for number in order:
        assert limits()[:2] == (left[-1] << 30, left[-1] << 30)
        inside[number].__exit__(None, None, None)
        del left[places.index(number)]
        places.remove(number)
    assert limits() == host


def test_the_random_state_goes_on_from_where_it_was():
    mx.random.seed(11)
    mx.random.normal((3,))
    want = mx.random.normal((4,)).tolist()
    mx.random.seed(11)
    mx.random.normal((3,))
    with backend.random_state_kept():
        mx.random.seed(5)
        mx.random.normal((100,))
    assert mx.random.normal((4,)).tolist() == want
    mx.random.seed(12)
    with pytest.raises(KeyError), backend.random_state_kept():
        raise KeyError(mx.random.seed(5))
    assert mx.random.state[0].tolist() == [0, 12]


def test_the_status_is_plain_and_downloads_nothing(monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    found = status()
    assert json.loads(json.dumps(found)) == found
    assert found["mlx"]
    assert found["kind"] in ("cpu", "metal", "cuda")
    assert found["embedding"].endswith("all-MiniLM-L6-v2-dictionary")
    assert any("Open English WordNet 2024" in line and "CC BY 4.0" in line for line in found["dictionary"])


def test_the_status_tells_a_wordnet_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("WNSEARCHDIR", str(tmp_path))
    load_dictionary.cache_clear()
    try:
        (line,) = status()["dictionary"]
    finally:
        load_dictionary.cache_clear()
    assert line.startswith(f"{tmp_path}, which WNSEARCHDIR or WNHOME names, lacks")
