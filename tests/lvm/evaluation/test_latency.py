import mlx.core as mx
import numpy as np

from tests.lvm.evaluation.small import D, model
from wotd_mlx.lvm.evaluation import latency


def test_figures_are_those_of_the_times(monkeypatch):
    """A whole context, one more embedding after its state, and 64 contexts at once."""
    net, read = model(base="gates"), []
    seconds = iter([np.array([0.001, 0.002, 0.004]), np.array([0.003, 0.005, 0.007]), np.array([0.1, 0.2, 0.6])])

    def timed(call, limit):
        read.append((np.array(call() if len(read) != 1 else call()[0]).shape, limit))
        return next(seconds)

    monkeypatch.setattr(latency, "_timed", timed)
    found = latency.benchmark(net, D, context=7, seconds=0.5)
    assert read == [((1, 7, D), 0.5), ((1, 1, D), 0.5), ((64, 7, D), 0.5)]
    assert found["peak_bytes"] > 0
    assert {key: value for key, value in found.items() if key != "peak_bytes"} == {
        "latency_ms": {"p50": 2.0, "p95": 3.8},
        "step_ms": 5.0,
        "throughput_per_s": 320.0,
    }


def test_the_peak_is_that_of_one_context(monkeypatch):
    held = []
    monkeypatch.setattr(latency, "_timed", lambda call, seconds: held.append(mx.get_active_memory()) or np.ones(5))
    latency.benchmark(model(), D, context=7)
    one, _, many = held
    assert many - one >= (latency.BATCH - 1) * 7 * D * 4


def test_timed_runs_stop_when_the_time_is_up_and_are_never_few():
    calls = []

    def call():
        calls.append(1)
        return mx.zeros(1)

    assert len(latency._timed(call, seconds=0)) == latency._MIN_RUNS
    assert len(calls) == latency._MIN_RUNS + latency._WARM_UP
    assert len(latency._timed(call, seconds=60)) == latency._RUNS


def test_the_machine_has_a_name():
    found = latency.machine()
    assert found["device"]
    assert found["cores"] >= 1
