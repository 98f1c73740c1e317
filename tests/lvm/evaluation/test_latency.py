import mlx.core as mx
import numpy as np

from tests.lvm.evaluation.small import D, model
from wotd_mlx.lvm.evaluation import latency


def test_figures_of_a_small_model():
    found = latency.benchmark(model(base="gates"), D, context=7, seconds=0.01)
    assert set(found) == {"latency_ms", "step_ms", "throughput_per_s", "peak_bytes"}
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]
    assert found["step_ms"] > 0
    assert found["throughput_per_s"] > 0
    assert found["peak_bytes"] > 0


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
