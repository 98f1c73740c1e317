import io

import pytest
from rich.console import Console

from tests.lvm.report.synthetic import summary, trained, write
from wotd_mlx.io.records import checked
from wotd_mlx.lvm import NAMES
from wotd_mlx.lvm.evaluation.results import Data, Row, Summary
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.lvm.report.table import (
    COST,
    FIT,
    OOD,
    SECTIONS,
    SUMMARY,
    VALID,
    count,
    lines,
    megabytes,
    plain,
    rich_table,
    share,
    signed,
)


@pytest.fixture
def results(tmp_path):
    return read_results(write(tmp_path, ["lstm", "rwkv"]))


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (share, 0.4953, ".495"),
        (share, -0.1, "-.100"),
        (share, 1.0, "1.000"),
        (share, 0.99996, "1.000"),
        (signed, -0.194, "−.194"),
        (signed, 0.01, "+.010"),
        (count, 5_123_456, "5.12 M"),
        (count, 1.6e9, "1.60 G"),
        (count, 12, "12"),
        (megabytes, 20_400_000, "20.4"),
        (megabytes, 6.4e9, "6,400"),
        (plain, 0.6, "0.600"),
        (plain, 1234.5, "1,234"),
    ],
)
def test_numbers_as_text(show, value, text):
    assert show(value) == text


def test_every_row_of_the_matrix_is_there(results):
    found = {line.name: line for line in lines(results, VALID)}
    assert set(found) == {*NAMES, *results.baselines}
    assert found["gru"].note == "not trained"
    assert not found["lstm"].note
    assert all(len(line.cells) == len(VALID.columns) for line in found.values() if not line.note)


def test_trained_but_not_evaluated(tmp_path):
    write(tmp_path, ["lstm"])
    trained(tmp_path, "gru")
    assert {line.name: line.note for line in lines(read_results(tmp_path), VALID)}["gru"] == "trained, not evaluated"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.title)
def test_the_best_of_each_column_is_marked(results, section):
    rows = [line for line in lines(results, section) if not line.note]
    for c, column in enumerate(section.columns):
        values = [line.cells[c].value for line in rows if line.cells[c].value is not None]
        best = {line.cells[c].value for line in rows if line.cells[c].best}
        winner = {"high": {max(values)}, "low": {min(values)}, "": set()}[column.better]
        assert best == (winner if len(values) > 1 else set()), column.title


def test_a_section_without_figures_is_empty():
    results = Results(data=Data(), context=5, validation={"lstm": Row("model", valid=checked(Summary, summary(0.5)))})
    assert lines(results, OOD) == []
    # Nothing to compare a single row with.
    assert not any(cell.best for line in lines(results, VALID) for cell in line.cells)
    assert [cell.text for cell in lines(results, FIT)[0].cells] == ["–", ".500", ".150", "–"]


def test_baselines_cost_nothing_worth_a_row(results):
    assert not any(line.baseline for line in lines(results, COST))


def test_a_terminal_takes_any_name(tmp_path):
    results = read_results(write(tmp_path, ["a|b\n[bold]c", "x" * 300]))
    console = Console(file=io.StringIO(), width=400)
    console.print(rich_table(results))
    text = console.file.getvalue()
    assert "[bold]c" in text
    assert all(column.title in text for column in SUMMARY.columns)


def test_a_terminal_of_80_columns_shows_every_figure(results):
    console = Console(file=io.StringIO(), width=80)
    console.print(rich_table(results))
    assert "…" not in console.file.getvalue()


def test_models_without_figures_are_named_below_the_table(results):
    console = Console(file=io.StringIO(), width=200)
    console.print(rich_table(results))
    absent = [line.name for line in lines(results, SUMMARY) if not line.cells]
    assert f"not trained: {', '.join(absent)}" in " ".join(console.file.getvalue().split())
