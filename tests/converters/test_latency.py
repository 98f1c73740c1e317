"""The latency benchmark's arithmetic, on a clock that only the test moves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from coremltools.converters.mil import Builder

from benchmarks import coreml_latency
from tests.converters.saved import build


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Fake:
    """A model that takes ``seconds[n]`` for its n-th prediction, and the last of them ever after."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.seen = clock, seconds, []

    def predict(self, inputs):
        self.clock.now += self.seconds[min(len(self.seen), len(self.seconds) - 1)]
        self.seen.append(inputs)
        return {}


def loaded(clock, seconds, made):
    def load(*_):
        clock.now += seconds
        return made

    return load


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        ([0.003], (3.0, 3.0, 3.0)),
        ([0.004, 0.001], (1.0, 1.0, 4.0)),
        ([n / 1e3 for n in range(200, 0, -1)], (1.0, 100.0, 190.0)),
    ],
)
def test_order_statistics_are_values_that_were_seen(seconds, want):
    assert tuple(coreml_latency.order_statistics(seconds).values()) == pytest.approx(want)


def test_loads_first_call_and_the_rest_are_told_apart():
    clock = Clock()
    slow_first = [0.5, *[9.0] * coreml_latency.WARMUP, *(n / 1e3 for n in range(1, 101))]
    model = Fake(clock, slow_first)
    examples = [{"x": 0}, {"x": 1}, {"x": 2}]
    found = coreml_latency.measure(loaded(clock, 2.0, None), loaded(clock, 0.25, model), examples, 100, clock)
    want = {"load_cold_ms": 2000, "load_warm_ms": 250, "first_predict_ms": 500, "runs": 100}
    assert found == pytest.approx({**want, "min_ms": 1, "p50_ms": 50, "p95_ms": 95})
    assert len(model.seen) == 1 + coreml_latency.WARMUP + 100
    assert [inputs["x"] for inputs in model.seen[-100:]] == [n % 3 for n in range(100)]


def test_the_file_is_written_after_each_measurement(tmp_path):
    out, after = tmp_path / "new" / "latency.json", []

    def one(path, unit):
        after.append(json.loads(out.read_text())["packages"] if out.exists() else None)
        if unit == "ALL":
            raise KeyboardInterrupt
        return {"p50_ms": 1.5}

    with pytest.raises(KeyboardInterrupt):
        coreml_latency.run([Path("a.mlpackage")], ["CPU_ONLY", "CPU_AND_NE", "ALL"], out, {"processor": "M9"}, one)
    first = {"CPU_ONLY": {"p50_ms": 1.5}}
    assert after == [None, {"a.mlpackage": first}, {"a.mlpackage": {**first, "CPU_AND_NE": {"p50_ms": 1.5}}}]
    assert json.loads(out.read_text())["machine"] == {"processor": "M9"}


def test_shares_add_up_to_one():
    found = coreml_latency.shares(["CPU", "Neural Engine", "Neural Engine", "Neural Engine"])
    assert found == {"CPU": 0.25, "Neural Engine": 0.75}


@pytest.fixture
def bundle(tmp_path):
    def scored(token_ids, mask):
        return Builder.mul(x=Builder.cast(x=token_ids, dtype="fp32"), y=mask)

    inputs = {"token_ids": np.zeros((1, 3), np.int32), "mask": np.zeros((1, 3), np.float32)}
    build(tmp_path / "Text.mlpackage", scored, inputs)
    (tmp_path / "manifest.json").write_text("{}")
    return tmp_path


def test_a_bundle_is_fed_its_fixtures(bundle):
    known = {"text": "a", "tokens": [101, 7, 102], "mask": [1, 1, 0]}
    cases = [known, {"text": "b", "tokens": [1, 2, 3], "mask": [1, 1, 1]}]
    (bundle / "fixtures.json").write_text(json.dumps({"format": 1, "max_length": 3, "cases": cases}))
    first, second = coreml_latency.examples_for(bundle)
    assert first["token_ids"].tolist() == [[101, 7, 102]]
    assert first["token_ids"].dtype == np.int32
    assert second["mask"].tolist() == [[1.0, 1.0, 1.0]]
    assert second["mask"].dtype == np.float32


def test_a_bare_package_is_fed_zeros(bundle):
    (example,) = coreml_latency.examples_for(bundle / "Text.mlpackage")
    assert {name: (a.shape, str(a.dtype), int(abs(a).sum())) for name, a in example.items()} == {
        "token_ids": ((1, 3), "int32", 0),
        "mask": ((1, 3), "float32", 0),
    }


def test_what_is_no_package_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"neither a \.mlpackage nor a folder with manifest\.json"):
        coreml_latency.find_package(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS measures")
def test_elsewhere_it_says_so_in_one_line(bundle, capsys):
    with pytest.raises(SystemExit) as stopped:
        coreml_latency.main([str(bundle)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: Core ML runs on macOS only; benchmarks.paper_bound gives bounds anywhere"
    ]
