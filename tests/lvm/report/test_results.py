import json
import math

import mlx.core as mx
import pytest

from tests.lvm.report.synthetic import trained, write
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import Files
from wotd_mlx.lvm.report.results import QUALITY, read_results
from wotd_mlx.lvm.store import ModelFolder
from wotd_mlx.schemas import MissingError, WotdError


def test_reads_everything(tmp_path):
    results = read_results(write(tmp_path, ["gru", "stranger", "lstm"]))
    assert results.models == ["lstm", "gru", "stranger"]
    assert results.baselines == ["copy-last", "mean of context", "five scalars", "ridge", "scalars"]
    assert results.missing == f"not trained: {', '.join(name for name in NAMES if name not in ('lstm', 'gru'))}"
    trained(tmp_path, "s4")
    assert read_results(tmp_path).missing.startswith("trained, not evaluated: s4; not trained: transformer, ")
    assert read_results(write(tmp_path / "all", NAMES)).missing == ""
    assert results.validation.context == 16
    assert results.retrieval.candidates == 42113
    assert results.presets == dict.fromkeys(["gru", "lstm"], "tiny")
    assert [line.epoch for line in results.histories["gru"]] == [1, 2, 3]
    assert results.number("gru", "benchmarks.latency_ms.p50") == 0.6
    assert math.isnan(results.number("ridge", "validation.parameters"))
    rows = json.loads(Files(tmp_path).validation.read_text())["rows"]
    highest = max(rows[name]["valid"]["cosine"] for name in results.baselines)
    assert results.best_baseline("validation.valid.cosine") == highest
    assert math.isnan(results.best_baseline("benchmarks.step_ms"))


def test_nothing_is_above_what_was_not_measured(tmp_path):
    files = Files(write(tmp_path, ["lstm"]))
    files.retrieval.unlink()
    files.benchmarks.unlink()
    results = read_results(tmp_path)
    assert (results.retrieval, results.benchmarks, results.above_baselines()) == (None, None, [])


def test_above_baselines_needs_all_four(tmp_path):
    write(tmp_path, ["lstm", "gru"])
    found = Files(tmp_path)
    found.benchmarks.unlink()
    files = {"validation": found.validation, "retrieval": found.retrieval}
    raw = {source: json.loads(file.read_text()) for source, file in files.items()}
    for name in ("lstm", "gru"):
        for path in QUALITY:
            source, *fields, last = path.split(".")
            row = raw[source]["rows"][name]
            for key in fields:
                row = row[key]
            row[last] = 0.9
    raw["retrieval"]["rows"]["gru"]["valid"]["context"]["top1"] = 0.0
    for source, file in files.items():
        raw[source] |= {} if source == "validation" else {"validation": found.digest()}
        file.write_text(json.dumps(raw[source]))
    assert read_results(tmp_path).above_baselines() == ["lstm"]


def test_nothing_evaluated(tmp_path):
    with pytest.raises(MissingError, match=r"no file .*validation_results\.json; make it with `wotd-mlx lvm evaluate`"):
        read_results(tmp_path)


def changed(**changes):
    return lambda raw: {**raw, **changes}


def in_row(**changes):
    return lambda raw: {**raw, "rows": {**raw["rows"], "lstm": {**raw["rows"]["lstm"], **changes}}}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("validation", changed(rows={}), "no rows; expected baselines and models"),
        ("validation", changed(rows={"lstm": []}), r"rows\.lstm is \[\], expected keys and values"),
        ("validation", changed(rows=[]), r"rows is \[\], expected keys and values"),
        ("validation", changed(context=None), "context is None, expected int"),
        ("validation", changed(context=10**12), "context is 1000000000000, expected int"),
        ("validation", lambda raw: [], r"it is \[\], expected keys and values"),
        ("validation", lambda raw: {k: v for k, v in raw.items() if k != "context"}, "lacks context"),
        ("validation", in_row(kind="idol"), r"rows\.lstm\.kind is 'idol', expected"),
        ("validation", in_row(pace=3), r"rows\.lstm has unknown keys 'pace'"),
        ("validation", in_row(seconds=-1), r"rows\.lstm\.seconds is -1, expected float"),
        ("validation", in_row(bytes=10**30), r"rows\.lstm\.bytes is 1000000.*, expected int"),
        ("validation", in_row(gap=1e300), r"rows\.lstm\.gap is 1e\+300, expected float"),
        ("validation", in_row(epochs=True), r"rows\.lstm\.epochs is True, expected int"),
        ("validation", in_row(by_topic=[{"bucket": "a"}]), r"rows\.lstm\.by_topic\[0\] lacks count"),
        ("retrieval", changed(candidates="all"), "candidates is 'all', expected int"),
        (
            "retrieval",
            changed(confusion={"lstm": {"topics": ["a"], "matrix": [[1, 0]]}}),
            r"1 topics; expected as many",
        ),
        ("retrieval", changed(projection={"method": "t", "targets": [[1]], "predictions": {}}), r"targets\[0\]"),
        ("retrieval", changed(validation="0" * 16), "is of another evaluation than validation_results.json beside it"),
        ("benchmarks", in_row(latency_ms={"p50": "fast", "p95": 1}), r"latency_ms\.p50 is 'fast', expected float"),
        ("benchmarks", changed(machine=3), "machine is 3, expected keys and values"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path, name, change, message):
    file = getattr(Files(write(tmp_path, ["lstm"])), name)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(WotdError, match=rf"{file.name}.*{message}.*; make it with `wotd-mlx lvm evaluate`") as caught:
        read_results(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["validation", "retrieval", "benchmarks"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"context": NaN}', b"[" * 100_000])
def test_what_is_no_json_is_named(tmp_path, name, content):
    file = getattr(Files(write(tmp_path, ["lstm"])), name)
    file.write_bytes(content)
    with pytest.raises(WotdError, match=rf"{file.name}: .*; make it with `wotd-mlx lvm evaluate`"):
        read_results(tmp_path)


def test_a_new_validation_beside_old_files_is_told(tmp_path):
    """As a kill between two of the three files leaves it."""
    file = Files(write(tmp_path, ["lstm"])).validation
    raw = json.loads(file.read_text())
    raw["rows"]["lstm"]["valid"]["cosine"] += 0.01
    file.write_text(json.dumps(raw))
    with pytest.raises(WotdError, match=r"retrieval_results\.json is of another evaluation"):
        read_results(tmp_path)


def test_a_model_that_was_trained_again_keeps_its_figures_without_its_curves(tmp_path, caplog):
    folder = ModelFolder(write(tmp_path, ["lstm", "gru"]), "gru")
    folder.write_weights(folder.best, {"a": mx.ones(1)}, folder.settings(), folder.epochs()[:2])
    results = read_results(tmp_path)
    assert results.models == ["lstm", "gru"]
    assert list(results.histories) == list(results.presets) == ["lstm"]
    assert "gru was trained again since it was evaluated" in caplog.text
    folder.clear()
    assert list(read_results(tmp_path).histories) == ["lstm"]


def test_a_history_of_another_training_is_refused(tmp_path):
    folder = ModelFolder(write(tmp_path, ["gru"]), "gru")
    folder.write_history(folder.epochs()[:2])
    with pytest.raises(WotdError, match=r"final_model\.safetensors doesn't belong to the history here"):
        read_results(tmp_path)
