"""Every row of the op table: its cases converted, run from the saved package, and compared with MLX."""

from __future__ import annotations

import pytest

from converters import coreml
from converters.capture import capture, named_outputs
from converters.coreml.executor import Executor
from converters.coreml.ops import OPS, lowers
from converters.interpret import interpret
from converters.passes import run_passes
from converters.passes.tidy import TRANSPARENT
from converters.primitives import PRIMITIVES
from converters.primitives.registry import primitive
from tests.tolerances import close

UNCHANGED = {*TRANSPARENT, "Full"}
CASES = [pytest.param(case, id=f"{row.name}-{case.name}") for row in PRIMITIVES.values() for case in row.cases]
EMITS = {id(case): OPS[row.name].emits.get(case.name, ()) for row in PRIMITIVES.values() for case in row.cases}


@pytest.mark.parametrize("case", CASES)
def test_case_converts(case, tmp_path):
    example = case.example()
    report = coreml.convert(case.call, example, tmp_path / "op.mlpackage")
    assert report.psnr_db >= 90
    assert report.codes_equal == 1
    made = Executor(tmp_path / "op.mlpackage").op_counts()
    assert [name for name in EMITS[id(case)] if name not in made] == []


@pytest.mark.parametrize("case", CASES)
def test_reference_is_mlx(case):
    """The graph, before and after the passes, evaluates to what the function returns."""
    example = case.example()
    want = named_outputs(case.call(**example))
    graph = capture(case.call, example)
    for step in (graph, run_passes(graph)):
        values = interpret(step, example)
        for name, array in want.items():
            close(values[step.outputs[name]], array, "sum_order")


@pytest.mark.parametrize("row", PRIMITIVES.values(), ids=PRIMITIVES)
def test_cases_reach_their_op(row):
    """At least one case has the op in its graph when it is lowered; what changes no number, when it is captured."""
    passes = (lambda graph: graph) if row.name in UNCHANGED else run_passes
    graphs = [passes(capture(case.call, case.example())) for case in row.cases]
    assert any(row.name in graph.counts() for graph in graphs)


def test_second_registration_is_refused():
    name = next(iter(OPS))
    with pytest.raises(ValueError, match=f"{name} stands twice"):
        primitive(name, lambda *_: None, PRIMITIVES[name].cases)
    with pytest.raises(ValueError, match=f"{name} is lowered twice"):
        lowers(name)(lambda *_: None)


def test_every_primitive_is_lowered():
    assert set(OPS) == set(PRIMITIVES)
    with pytest.raises(ValueError, match="Nothing, which is no primitive"):
        lowers("Nothing")(lambda *_: None)
    with pytest.raises(ValueError, match="has no case strange"):
        lowers("Add", emits={"strange": ["add"]})(lambda *_: None)


def test_primitive_without_case_is_refused():
    with pytest.raises(ValueError, match="no case"):
        primitive("Nothing", lambda *_: None, [])


def test_op_table_is_fresh():
    pytest.importorskip("coreai", reason="the table has a column of Core AI's operations")
    from scripts.op_table import FILE, table

    assert FILE.read_text(encoding="utf-8") == table(), "run `python -m scripts.op_table`"
