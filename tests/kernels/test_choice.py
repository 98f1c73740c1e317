"""Which path code takes: the device's, the variable's, or the one asked for."""

from __future__ import annotations

import threading

import mlx.core as mx

from tests.processes import python
from wotd_mlx.kernels import choice
from wotd_mlx.kernels.choice import either, path, taking


def test_the_device_decides(monkeypatch):
    monkeypatch.delenv("WOTD_MLX_KERNELS", raising=False)
    for on_cpu, want in ((True, "cpu"), (False, "gpu")):
        monkeypatch.setattr(choice, "on_cpu", lambda here=on_cpu: here)
        assert path() == want


def test_inside_and_afterwards():
    before = path()
    with taking("gpu"):
        assert path() == "gpu"
        with taking("cpu"):
            assert path() == "cpu"
        assert path() == "gpu"
        assert choice.lanes() == 1
    assert path() == before


def test_another_thread_takes_its_own():
    seen = []
    with taking("gpu"), taking("cpu"):
        thread = threading.Thread(target=lambda: seen.append(path()))
        with taking("gpu" if path() == "cpu" else "cpu"):
            thread.start()
            thread.join()
    assert seen == [path()]


def test_each_call_asks():
    operation = either(lambda x: x + 1, lambda x: x + 2)
    found = []
    for there in ("cpu", "gpu"):
        with taking(there):
            found.append(operation(mx.array(0)).item())
    assert found == [2, 1]


def test_the_variable_has_all_code_take_the_gpus_path():
    code = "from wotd_mlx.status import status; found = status(); print(found['kind'], found['path'])"
    assert python(code, WOTD_MLX_KERNELS="gpu").endswith(" gpu")
    assert python(f"{code}\nfrom wotd_mlx.kernels import choice; print(choice.lanes())", WOTD_MLX_KERNELS="0") in (
        "cpu cpu\n1",
        "metal gpu\n1",
        "cuda gpu\n1",
    )
