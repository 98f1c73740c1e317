import json

import pytest

from tests.lvm.report.synthetic import save, write
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.report.results import QUALITY, number, read_results
from wotd_mlx.schemas import WotdError


def test_reads_everything(tmp_path):
    results = read_results(write(tmp_path, ["gru", "stranger", "lstm"]))
    assert results.models == ["lstm", "gru", "stranger"]
    assert results.baselines == ["copy-last", "mean of context", "five scalars", "ridge", "scalars"]
    assert results.missing == [name for name in NAMES if name not in ("lstm", "gru")]
    assert results.context == 16
    assert results.candidates == 42113
    assert results.presets == dict.fromkeys(["gru", "lstm", "stranger"], "tiny")
    assert len(results.histories["gru"]) == 3
    assert results.number("gru", "inference", "latency_ms", "p50") == 0.6
    assert results.number("ridge", "validation", "parameters") is None


def test_leaders_are_the_best_by_mean_rank(tmp_path):
    write(tmp_path, ["lstm", "gru", "s4", "rwkv"])
    file = tmp_path / "evaluation" / "validation_results.json"
    raw = json.loads(file.read_text())
    for n, name in enumerate(("rwkv", "s4", "gru", "lstm")):
        raw["rows"][name]["valid"]["cosine"] = 0.6 - n / 100
    file.write_text(json.dumps(raw))
    (tmp_path / "evaluation" / "retrieval_results.json").unlink()
    results = read_results(tmp_path)
    assert results.leaders() == ["rwkv", "s4", "gru"]
    # Retrieval is unknown, so nothing can be said of all four figures.
    assert results.above_baselines() == []


def test_above_baselines_needs_all_four(tmp_path):
    write(tmp_path, ["lstm", "gru"])
    folder = tmp_path / "evaluation"
    files = {source: folder / f"{source}_results.json" for source in ("validation", "retrieval")}
    raw = {source: json.loads(file.read_text()) for source, file in files.items()}
    for name in ("lstm", "gru"):
        for source, *place, last in QUALITY:
            row = raw[source]["rows"][name]
            for key in place:
                row = row[key]
            row[last] = 0.9
    raw["retrieval"]["rows"]["gru"]["valid"]["context"]["top1"] = 0.0
    for source, file in files.items():
        file.write_text(json.dumps(raw[source]))
    assert read_results(tmp_path).above_baselines() == ["lstm"]


def test_number_takes_finite_numbers_only():
    raw = {"a": {"b": 2}, "nan": float("nan"), "text": "1", "true": True, "none": None}
    assert number(raw, "a", "b") == 2.0
    assert [number(raw, key) for key in ("a", "nan", "text", "true", "none", "absent")] == [None] * 6
    assert number(raw, "a", "b", "c") is None


def test_nothing_evaluated(tmp_path):
    with pytest.raises(WotdError, match=r"no .*validation_results\.json; make it with `wotd-mlx lvm evaluate`"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"context": 5, "rows": {}}, "no rows of kind baseline or model"),
        ({"context": 5, "rows": {"lstm": []}}, "no rows of kind"),
        ({"context": 5, "rows": []}, "no rows of kind"),
        ({"rows": {"lstm": {"kind": "model"}}}, "or no context"),
        ([], "holds a list, expected an object"),
    ],
)
def test_files_of_another_kind(tmp_path, content, message):
    save(tmp_path, "validation_results", content)
    with pytest.raises(WotdError, match=message):
        read_results(tmp_path)


def test_a_file_cut_short(tmp_path):
    write(tmp_path, ["lstm"])
    file = tmp_path / "evaluation" / "retrieval_results.json"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(WotdError, match=r"retrieval_results\.json can't be read .*; evaluate again"):
        read_results(tmp_path)
