"""One graph: converted, saved, run on inputs of every profile, and compared with MLX."""

from __future__ import annotations

import gc
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from warnings import catch_warnings, simplefilter

import numpy as np
from coremltools.converters.mil.mil import Block, Program

from converters import coreml
from converters.backend import backend_of
from converters.capture import capture
from converters.front import runner
from tests.converters.fuzz.compare import Comparison, Difference
from tests.converters.fuzz.draft import Draft, drafted
from tests.converters.fuzz.inputs import EXAMPLE, PROFILES

WHOLE = 10
"""One graph of so many goes through ``coreml.convert``, its gate too; the others through its parts."""


KINDS = ("equal", "refused", "known", "different", "crashed")
FAILURES = KINDS[-2:]


@dataclass(frozen=True)
class Outcome:
    """What became of a graph, one of :data:`KINDS`, and what was seen."""

    number: int
    kind: str
    seen: str = ""
    graph: str = ""
    rows: tuple[str, ...] = ()
    """Of a known difference, the table's rows."""


def settle() -> None:
    """Keep what the imports left from being looked through after each conversion, when coremltools collects garbage."""
    gc.collect()
    gc.freeze()


def told(outcome: Outcome, seed: int) -> str:
    """An outcome in full, and how to see it again."""
    again = f"python -m tests.converters.fuzz --seed {seed} --only {outcome.number}"
    return f"{outcome.kind}: {again}\n{outcome.graph}\n{outcome.seen}\n"


def attempt(seed: int, number: int, suffix: str = ".mlpackage") -> Outcome:
    """Make the graph of that number, and try it as a package of a kind."""
    told = ""
    try:
        draft = drafted(seed, number)
        told = f"{_precision(draft)} {draft.target}\n{draft.told()}"
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, catch_warnings():
            simplefilter("ignore", coreml.ConversionWarning)
            rng = np.random.default_rng([seed, number, 1])
            found = tried(draft, Path(folder) / f"m{suffix}", rng, whole=number % WHOLE == 0)
    except coreml.ConversionError as error:
        kind = "refused" if "\n" not in str(error) else "crashed"
        return Outcome(number, kind, str(error), told)
    except Exception:
        return Outcome(number, "crashed", traceback.format_exc(), told)
    strange = [str(one) for one in found if one.row is None]
    rows = tuple(dict.fromkeys(one.row.name for one in found if one.row))
    return Outcome(
        number, "different" if strange else "known" if rows else "equal", "\n".join(strange or rows), told, rows
    )


def tried(draft: Draft, package: Path, rng: np.random.Generator, whole: bool) -> list[Difference]:
    """Where a draft's package differs, on inputs of every profile.

    Raises:
        ConversionError: it is refused, by the gate too.
    """
    back, example = backend_of(package), draft.example()
    coreml_s = package.suffix == ".mlpackage"
    target = draft.target if coreml_s else back.TARGETS[0]
    captured = capture(draft.function, example)
    graph = back.lowered(captured)
    if whole:
        coreml.convert(draft.function, example, package, _precision(draft), target)
    else:
        with _quick():
            back.save(graph, package, _precision(draft), target, ())
        back.load(package)
    run = runner(package, "reference" if coreml_s else "auto")
    comparison = Comparison(
        draft, captured, graph, lambda inputs: {n: np.atleast_1d(a) for n, a in run(inputs).items()}
    )
    drawn = {profile: draft.drawn(profile, rng) if profile != EXAMPLE else example for profile in PROFILES}
    with np.errstate(all="ignore"):
        found = [one for name, inputs in drawn.items() if (one := comparison.difference(name, inputs, rng))]
    if not whole and any(one.row is None for one in found):  # the gate may refuse it
        gated = package.with_name(f"gated{package.suffix}")
        coreml.convert(draft.function, example, gated, _precision(draft), target)
    return found


@contextmanager
def _quick() -> Iterator[None]:
    """coremltools without what it does around each of its hundred passes, which takes longer than they do: checks, a
    text for its log, and marks that only compressed weights have."""
    with (
        patch.object(Program, "validate", lambda *_, **__: None),
        patch.object(Program, "__str__", lambda *_, **__: ""),
        patch.object(Block, "_propagate_nonreplaceable_vars", lambda self: self),
    ):
        yield


def _precision(draft: Draft) -> str:
    return "float16" if draft.half else "float32"
