"""What stops a package: too far from its source on the example, or wrong on inputs that nobody thought of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from converters.capture import Example, Function
from converters.graph import Array, Graph
from converters.half import HALF_MASK, HALF_MAX, halved, masks, within
from converters.interpret import interpret
from converters.positions import counted
from converters.probes import Probe, constant_inputs, probes
from converters.ranges import ranges
from converters.rounding import Trial, Unexplained, unexplained
from converters.source import expected

_SHOWN = 3
_FAR = 10.0
"""How many times the usual limit an error may reach on numbers far above the example's: what is wrong there is wrong by
far, and a deep function rounds them more than the draws that explain an error show."""
_EXAMPLES = 4
"""How many of the caller's examples are looked at place by place."""

Call = Callable[[Mapping[str, Any]], dict[str, Array]]


def probed(
    call: Call,
    fn: Function,
    captured: Graph,
    lowered: Graph,
    examples: Sequence[Example],
    precision: str,
    float32: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """What is wrong with a package, and what its user should know: sentences of both.

    In half precision numbers far above the example's may leave the range of float16, which is told and refuses
    nothing; in float32 they may not be wrong either.

    Args:
        call: runs the package.
        captured: ``fn`` as MLX has it.
        lowered: the same as it was written to the package.
        float32: modules that compute in float32 all the same.
    """
    wide = lowered.widened() if captured.is_low else None

    def trial(inputs: Example) -> Trial:
        want = {name: array for name, (array, _) in expected(fn, inputs, wide).items()}
        return Trial(inputs, want, call(inputs))

    tried = probes(captured, examples[0])
    usual = [trial(inputs) for inputs in examples[:_EXAMPLES]]
    usual += [trial(probe.inputs) for probe in tried if probe.ordinary]
    faults = [_told(one, "numbers like the example's") for one in unexplained(usual, precision, lambda: captured)]
    warnings = list(constant_inputs(examples[0]))
    beyond: list[str] = []
    half = halved(lowered)
    apart = counted(half, ranges(half)) if precision != "float32" else set()
    for probe in tried:
        if precision != "float32" and not beyond:
            beyond = list(_beyond(half, apart, probe, float32))
            warnings += beyond
        if not probe.ordinary and not beyond:
            far = unexplained([trial(probe.inputs)], precision, lambda: captured, _FAR)
            off = [_told(one, probe.told) for one in far]
            if precision == "float32":
                faults += off
            else:
                warnings += off
    return faults, warnings


def _told(one: Unexplained, probe: str) -> str:
    place = f"[{', '.join(map(str, one.place))}]"
    return f"on {probe} {one.output}{place} is {one.got:.6g} where MLX has {one.want:.6g}"


def _beyond(graph: Graph, apart: set[str], probe: Probe, float32: Sequence[str]) -> Iterator[str]:
    """One sentence that names what float16 doesn't hold of a probe's tensors, those ``apart`` aside, or none."""
    inputs = {name: mx.maximum(a, HALF_MASK) if masks(graph, name) else a for name, a in probe.inputs.items()}
    values = interpret(graph, inputs)
    found = []
    for node in graph.nodes:
        for tensor in node.outputs:
            if not tensor.is_float or tensor.name in apart or within([node.scope], float32):
                continue
            numbers = np.abs(np.array(values[tensor.name].astype(mx.float32)))
            most = float(numbers[np.isfinite(numbers)].max(initial=0))
            if most > HALF_MAX:
                found.append(f"{tensor.name}{f' in {node.scope}' if node.scope else ''} reaches {most:.3g}")
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield (
            f"on {probe.told} {'; '.join(found[:_SHOWN])}{more}: float16 ends at {HALF_MAX:,.0f}. "
            "Keep what computes them in float32, or scale them"
        )
