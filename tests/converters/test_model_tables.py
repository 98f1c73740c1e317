"""How a row of docs/models.md is found, kept and told."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from scripts import conversions, small_modules
from scripts.conversions import Cell, Package, UnbuiltError, attempt, cells_table, reasons, verdicts
from scripts.small_modules import load, made, numbers, settled

X = {"x": mx.array(np.linspace(0.1, 1, 12, dtype=np.float32).reshape(3, 4))}
COLUMNS = ("fp32", "fp16")


def unbuilt(_):
    print("install it first")
    raise SystemExit(1)


def broken(x):
    return mx.matmul(x, x)


@pytest.mark.parametrize(
    ("build", "precision", "verdict", "reason"),
    [
        (unbuilt, "float32", "unbuilt", "install it first"),
        (lambda _: (broken, X), "float32", "uncomputed", "matmul"),
        (lambda _: (lambda x: x * x.sum().item(), X), "float32", "refused", "looks at values"),
        (lambda _: (lambda x: mx.round(x * 1e4) - x * 1e4, X), "float16", "gate", "output has"),
    ],
)
def test_verdicts(build, precision, verdict, reason):
    row = attempt(Cell("name", "fp32"), build, Package(precision))
    assert (row["name"], row["column"], row["verdict"]) == ("name", "fp32", verdict)
    assert reason in row["reason"]
    assert "Use a higher precision" not in row["reason"]


def test_what_converts_has_decibels():
    assert attempt(Cell("name", "fp32"), lambda _: (nn.Tanh(), X), Package("float32"))["db"] > 90
    assert attempt(Cell("name", "fp32"), lambda _: (lambda x: x + 1, X), Package("float32"))["db"] == "exact"


def test_rows_are_kept_until_they_are_tried_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(conversions, "RESULTS", tmp_path)
    cells = [Cell("b", "fp32"), Cell("a", "fp32"), Cell("a", "fp16")]

    def tried(_module, given, _options):
        for n, cell in enumerate(given):
            yield cell._asdict() | ({"db": 100.0 + n} if cell.name == "a" else {"verdict": "unbuilt", "reason": "no"})

    monkeypatch.setattr(conversions, "_tried", tried)
    conversions.try_all("scripts.none", cells, "rows.jsonl", "lib 1.0")
    assert conversions.tried_on("rows.jsonl") == "lib 1.0"
    rows = conversions.kept("rows.jsonl")
    assert list(rows) == sorted(cells)
    assert rows[Cell("a", "fp16")]["db"] == 102.0
    assert conversions.to_try([*cells, Cell("c", "fp32")], "rows.jsonl") == [Cell("b", "fp32"), Cell("c", "fp32")]
    conversions.try_all("scripts.none", [Cell("a", "fp16")], "rows.jsonl", "lib 1.1")
    assert conversions.kept("rows.jsonl")[Cell("a", "fp16")]["db"] == 100.0
    assert "b, fp32: unbuilt, no" in capsys.readouterr().out


def test_a_worker_that_ends_costs_one_row(monkeypatch, tmp_path):
    program = tmp_path / "worker.py"
    program.write_text(
        "import sys, json, os\n"
        "for text in sys.argv[sys.argv.index('--worker') + 1:]:\n"
        "    column, name = text.split(':', 1)\n"
        "    if name == 'bad':\n        os._exit(9)\n"
        "    print(json.dumps({'name': name, 'column': column, 'db': 99.0}), flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cells = [Cell(name, "fp32") for name in ("one", "bad", "a: two")]
    rows = list(conversions._tried("worker", cells, ()))
    assert [row.get("db") for row in rows] == [99.0, None, 99.0]
    assert rows[1]["verdict"] == "unbuilt"
    assert "code 9" in rows[1]["reason"]
    assert rows[2]["name"] == "a: two"


def test_tables_tell_every_row():
    rows = {
        Cell("a", "fp32"): {"db": 139.6},
        Cell("a", "fp16"): {"db": "exact"},
        Cell("b", "fp32"): {"verdict": "refused", "reason": "of | rank 6"},
        Cell("b", "fp16"): {"verdict": "refused", "reason": "of | rank 6"},
        Cell("c", "fp32"): {"db": 91},
        Cell("c", "fp16"): {"verdict": "gate", "reason": "20 dB"},
    }
    assert cells_table(rows, COLUMNS, "model").splitlines()[2:] == [
        "| a | 140 | exact |",
        "| b | refused | refused |",
        "| c | 91 | gate |",
    ]
    assert verdicts(rows, COLUMNS).splitlines()[2:] == ["| fp32 | 2 |  | 1 |", "| fp16 | 1 | 1 | 1 |"]
    rows |= {Cell("d", column): rows[Cell("b", column)] for column in COLUMNS}
    told = reasons(rows, COLUMNS, {"c, fp16": "a tie"}, "model").splitlines()[2:]
    assert told == ["| b, d | all | of / rank 6 |", "| c | fp16 | 20 dB; a tie |"]


def test_modules_of_one_name_in_two_folders(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "alike.py").write_text(f"name = {folder!r}")
    monkeypatch.setattr("sys.path", ["kept"])
    monkeypatch.setitem(small_modules.SOURCES, "there", tmp_path)
    assert [load("alike", "there", folder).name for folder in ("one", "two", "one")] == ["one", "two", "one"]
    with pytest.raises(UnbuiltError, match="no checkout of elsewhere"):
        load("alike", "elsewhere", "one")


def test_modules_are_shaken_and_in_inference():
    norm = settled(nn.BatchNorm(4))
    assert not norm.training
    assert len(set(norm.weight.tolist())) == 4
    model = nn.Linear(4, 2)
    fn, example = made(model, x=numbers(3, 4))
    assert fn is model
    assert np.array_equal(example["x"], numbers(3, 4))


def test_builders_of_each_library_are_known():
    import scripts.modules_examples
    import scripts.modules_packages  # noqa: F401  registers them

    names = small_modules.MODULES
    assert len(names) >= 95
    wanted = (
        "SAM:",
        "Flux:",
        "Whisper: text decoder, float16",
        "mlx-image: Swin",
        "mlx-image: mobilenet_v3",
        "mamba.py:",
    )
    assert all(any(name.startswith(start) for name in names) for start in wanted)
