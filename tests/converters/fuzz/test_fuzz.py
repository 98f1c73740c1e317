"""Generated functions become packages that compute what MLX does, or are refused; and what is broken is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb

from converters import ranges
from converters.capture import capture
from converters.coreml.ops import OPS
from converters.passes import run_passes
from tests.converters.fuzz.draft import GENERATORS, MAKES, Draft, drafted
from tests.converters.fuzz.known import ROWS
from tests.converters.fuzz.trial import FAILURES, attempt, told

SEED, GRAPHS, PART = 0, 150, 50
TRIED = 40
"""Graphs of one generator, in one of which a fault that was put in shows."""
DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "coreml.md"


@pytest.mark.parametrize("first", range(0, GRAPHS, PART))
def test_generated_functions_are_right_or_refused(first):
    outcomes = [attempt(SEED, number) for number in range(first, first + PART)]
    failed = [told(outcome, SEED) for outcome in outcomes if outcome.kind in FAILURES]
    assert not failed, "\n".join(failed)
    assert sum(outcome.kind == "equal" for outcome in outcomes) > PART / 2


@pytest.mark.parametrize("first", range(0, GRAPHS, PART))
def test_generated_functions_are_right_in_core_ai(first):
    """In float32: in half precision the runtime's sums leave float16 in another order."""
    pytest.importorskip("coreai", reason="needs the extra `coreai`")
    numbers = [number for number in range(first, first + PART) if not drafted(SEED, number).half]
    outcomes = [attempt(SEED, number, ".aimodel") for number in numbers]
    failed = [told(outcome, SEED) for outcome in outcomes if outcome.kind in FAILURES]
    assert not failed, "\n".join(failed)
    assert sum(outcome.kind == "equal" for outcome in outcomes) > len(numbers) / 2


def test_each_op_has_a_generator():
    drafted(SEED, 0)
    assert {name for names in MAKES.values() for name in names} == set(OPS)


def test_generators_make_what_they_say():
    missing = []
    for name, primitives in MAKES.items():
        made: set[str] = set()
        for seed in range(200):
            draft = Draft(np.random.default_rng(seed), half=False)
            GENERATORS[name](draft)
            graph = capture(draft.function, draft.example())
            made |= {node.op for node in (*graph.nodes, *run_passes(graph).nodes)}
            if made.issuperset(primitives):
                break
        missing += [f"{name}: {primitive}" for primitive in primitives if primitive not in made]
    assert missing == []


def _logsumexp(ctx, x):
    total = mb.reduce_sum(x=mb.exp(x=x), axes=[-1], keep_dims=True)
    return mb.log(x=total, epsilon=0.0, name=ctx.name)


BROKEN = {
    "one_number": ("Sign", lambda ctx, x: mb.sign(x=x, name=ctx.name)),
    "softmax": ("LogSumExp", _logsumexp),
    "norm": ("RMSNorm", lambda ctx, *x: OPS["RMSNorm"].lower(replace(ctx, half=False), *x)),
    "two_numbers": ("Multiply", lambda ctx, x, y: mb.mul(x=x, y=y, name=ctx.name)),
}
"""A generator, and a primitive of it that is lowered so that an example doesn't tell."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lowering_is_seen(name, monkeypatch):
    primitive, lower = BROKEN[name]
    row = OPS[primitive]

    def broken(ctx, *operands):
        with monkeypatch.context() as whole:
            whole.setitem(OPS, primitive, row)
            return lower(ctx, *operands) if ctx.out.dtype != "bool" else row.lower(ctx, *operands)

    assert _is_seen(name, monkeypatch, lambda patch: patch.setitem(OPS, primitive, replace(row, lower=broken)))


def test_a_range_that_is_forgotten_is_seen(monkeypatch):
    assert _is_seen("comparison", monkeypatch, lambda patch: patch.setattr(ranges, "SENSITIVE", set()))


def _is_seen(generator: str, monkeypatch, break_it) -> bool:
    """Whether one of the generator's first graphs goes wrong once something is broken, and not before."""
    drafted(SEED, 0)
    first, step = sorted(GENERATORS).index(generator), len(GENERATORS)
    for number in range(first, first + TRIED * step, step):
        with monkeypatch.context() as patch:
            break_it(patch)
            broken = _is_wrong(number)
        if broken and not _is_wrong(number):
            return True
    return False


def _is_wrong(number: int) -> bool:
    outcome = attempt(SEED, number)
    return outcome.kind == "different" or "too far" in outcome.seen


def test_the_documentation_has_the_table():
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert [row.name for row in ROWS if f"| {row.name} | {row.why} |" not in text] == []
