import io
import math

import pytest
from rich.console import Console

from tests.lvm.report.synthetic import summary, write
from wotd_mlx.io.records import checked
from wotd_mlx.lvm.evaluation.results import Data, Row, Summary, Validation
from wotd_mlx.lvm.report.results import Results, read_results
from wotd_mlx.lvm.report.table import COST, FIT, OOD, SECTIONS, SUMMARY, VALID, Column, rich_table, table_rows


@pytest.fixture
def results(tmp_path):
    return read_results(write(tmp_path, ["lstm", "rwkv"]))


def test_numbers_as_text():
    assert Column("a", "", "").show(0.4953) == "0.495"
    assert Column("a", "", "", digits="+.3f").show(-0.194) == "−0.194"
    assert Column("a", "", "", "low", 1e-6, ",.1f").show(6_412_345_678) == "6,412.3"
    assert Column("a", "", "").show(float("nan")) == "–"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.title)
def test_cells_are_the_results_and_the_best_of_each_column_is_marked(results, section):
    rows = table_rows(results, section)
    assert [row.name for row in rows] == [*(results.baselines if section is not COST else []), "lstm", "rwkv"]
    for c, column in enumerate(section.columns):
        values = {row.name: results.number(row.name, column.path) for row in rows}
        assert [row.cells[c].text for row in rows] == [column.show(values[row.name]) for row in rows]
        known = [v for v in values.values() if not math.isnan(v)]
        winner = {"high": {max(known)}, "low": {min(known)}, "": set()}[column.better]
        assert {values[row.name] for row in rows if row.cells[c].best} == winner, column.title


def test_a_section_without_figures_is_empty():
    rows = {"lstm": Row("model", valid=checked(Summary, summary(0.5)))}
    results = Results(Validation(Data(), 5, rows))
    assert table_rows(results, OOD) == []
    # Nothing to compare a single row with.
    assert not any(cell.best for row in table_rows(results, VALID) for cell in row.cells)
    assert [cell.text for cell in table_rows(results, FIT)[0].cells] == ["–", "0.500", "0.150", "–"]


def test_a_terminal_takes_any_name_and_80_columns_show_every_figure(tmp_path, results):
    console = Console(file=io.StringIO(), width=80)
    console.print(rich_table(results))
    text = console.file.getvalue()
    assert "…" not in text
    assert all(cell.text in text for row in table_rows(results, SUMMARY) for cell in row.cells)
    assert results.missing in " ".join(text.split())
    console = Console(file=io.StringIO(), width=400)
    console.print(rich_table(read_results(write(tmp_path / "odd", ["[bold]c"]))))
    assert "[bold]c" in console.file.getvalue()
