"""Inputs of the converter's own, beside the example: on what a package is tried that nobody thought of.

An example may be all zeros, or one row of ordinary numbers. So a package is compared on draws that look like it (the
same signs and sizes, masks that stay masks, indices within their tables), on masks of nothing, and, to tell how far its
numbers reach, on 100 and 1,000 times as much and on the limits of its integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from converters.capture import Example, as_numpy
from converters.graph import Array, Graph, Node
from converters.passes.tidy import RESHAPES

DRAWS = 3
SCALES = (100, 1000)
MASKS = -1e3
"""What an additive mask holds is at most this."""
_INDEXES = {"Take": 1, "GatherAxis": 1, "Gather": 1, "ScatterAxis": 1, "Scatter": 1, "DynamicSlice": 1}
_INDEXES |= {"DynamicSliceUpdate": 2, "GatherMM": 2, "GatherQMM": 2}
"""From which operand on an operation reads places: one that lies outside is read from anywhere."""
_DIVIDES = {"FloorDivide", "Remainder", "DivMod", "Divide"}
"""What stops the process where a whole number is divided by 0."""
_LEFT_OPEN = {"BitwiseBinary", "Power"}
"""What is defined for some whole numbers only."""
_MASK_VALUES = 2


@dataclass(frozen=True)
class Probe:
    """Inputs, what they are called, and whether a real call may look like that."""

    inputs: Example
    told: str
    ordinary: bool = True


def probes(graph: Graph, example: Example, seed: int = 0) -> list[Probe]:
    """The inputs to try beside ``example``, the ordinary ones first; the same for the same seed."""
    rng = np.random.default_rng(seed)
    given = {name: as_numpy(array) for name, array in example.items()}
    within = _places(graph)
    whole = {name for name, array in given.items() if array.dtype.kind in "iu"}
    held = whole if _computes_whole(graph, _DIVIDES) else {name for name, length in within.items() if not length}

    def drawn() -> dict[str, Array]:
        return {n: a if n in held else _drawn(a, rng, within.get(n)) for n, a in given.items()}

    found = [Probe(_like(drawn(), example), "numbers like the example's") for _ in range(DRAWS)]
    masks = {name: _masked(array) for name, array in given.items() if is_mask(array) and name not in held}
    if masks:
        found.append(Probe(_like({**given, **masks}, example), "a row that is masked whole"))
    wide = {name for name, array in given.items() if array.dtype.kind == "f" and not is_mask(array)}
    for scale in SCALES if wide else ():
        more = {name: array * np.float32(scale) if name in wide else array for name, array in _of(found[0]).items()}
        found.append(Probe(_like(more, example), f"{scale:,} times the example", ordinary=False))
    free = {name for name in whole - held - set(within) if not is_mask(given[name])}
    if free and not _computes_whole(graph, _LEFT_OPEN):
        ends = {name: _limits(array) if name in free else array for name, array in _of(found[0]).items()}
        found.append(Probe(_like(ends, example), "the limits of its integers", ordinary=False))
    return found


def _computes_whole(graph: Graph, ops: set[str]) -> bool:
    return any(node.op in ops and not graph.tensors[node.inputs[0]].is_float for node in graph.nodes)


def constant_inputs(example: Example) -> Iterator[str]:
    """A sentence for each float input of the example that holds one number throughout: on it nothing shows."""
    for name, array in example.items():
        held = as_numpy(array)
        if held.dtype.kind == "f" and held.size > 1 and (held == held.flat[0]).all():
            yield (
                f"input {name} of the example is {held.flat[0]:g} throughout, on which errors may not show; "
                "give real numbers"
            )


def _of(probe: Probe) -> dict[str, Array]:
    return {name: as_numpy(array) for name, array in probe.inputs.items()}


def _like(arrays: Mapping[str, Array], example: Example) -> Example:
    return {name: mx.array(array).astype(example[name].dtype) for name, array in arrays.items()}


def is_mask(array: Array) -> bool:
    """Whether an input says what counts: truths, ones and zeros, or zeros and very low numbers."""
    if array.dtype.kind == "b":
        return True
    values = np.unique(array)
    return len(values) <= _MASK_VALUES and (
        (set(values.tolist()) <= {0, 1} and 1 in values) or (values[-1] == 0 and values[0] <= MASKS)
    )


def _masked(array: Array) -> Array:
    """The mask with its first row of low values."""
    low = min(array.min(), 0) if array.dtype.kind != "b" else False
    made = array.copy()
    made.reshape(-1, *array.shape[-1:])[:1] = low
    return made


def _drawn(array: Array, rng: np.random.Generator, table: int | None) -> Array:
    values = np.unique(array)
    made: Array
    if is_mask(array):
        choices = np.array([0, 1], array.dtype) if values[0] >= 0 else values
        made = rng.choice(choices, array.shape)
    elif array.dtype.kind in "iu":
        low, high = (0, table - 1) if table else (int(values[0]), int(values[-1]))
        made = rng.integers(low, high, array.shape, endpoint=True).astype(array.dtype)
        made = made if table or 0 in values else np.where(made == 0, values[0], made)
    elif not values.any():
        made = rng.normal(size=array.shape)
    else:
        made = rng.choice(array.reshape(-1), array.shape) * np.exp(rng.normal(size=array.shape) / 2)
    return _in_order(made.astype(array.dtype), array)


def _in_order(made: Array, array: Array) -> Array:
    """Sorted where the example is: what searches may ask for that."""
    ordered = array.ndim and array.shape[-1] > 1 and (np.diff(array.astype(np.float64), axis=-1) >= 0).all()
    return np.sort(made, axis=-1) if ordered and not is_mask(array) else made


def _limits(array: Array) -> Array:
    """The dtype's least and greatest number in turn; what has 64 bits enters as int32."""
    info = np.iinfo(np.int32 if array.dtype.itemsize > 4 and array.dtype.kind == "i" else array.dtype)
    low, high = info.min, min(info.max, np.iinfo(np.int32).max) if array.dtype.itemsize > 4 else info.max
    return np.resize(np.array([low, high], array.dtype), array.shape)


def _places(graph: Graph) -> dict[str, int]:
    """The integer inputs that name places, each with the length of the shortest axis it is read along; 0 where that
    isn't known, since something is computed on the way."""
    found: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.inputs[_INDEXES.get(node.op, len(node.inputs)) :]:
            for source, direct in _sources(graph, name):
                length = _length(graph, node) if direct else 0
                found[source] = min(length, found.get(source, length))
    return found


def _length(graph: Graph, node: Node) -> int:
    if node.op in ("Take", "GatherAxis"):
        return int(graph.tensors[node.inputs[0]].shape[node.args[0]])
    if node.op == "Gather" and len(node.args[0]) == 1:
        return int(graph.tensors[node.inputs[0]].shape[node.args[0][0]])
    return 0


def _sources(graph: Graph, name: str) -> Iterator[tuple[str, bool]]:
    """The inputs of whole numbers that a tensor is made of, and whether by moves alone."""
    ahead, seen = [(name, True)], set()
    while ahead:
        name, direct = ahead.pop()
        node = graph.producers.get(name)
        if node is None:
            if name not in graph.constants:
                yield name, direct
        elif name not in seen:
            seen.add(name)
            direct = direct and (node.op in RESHAPES or node.op in ("AsType", "Transpose", "Broadcast"))
            ahead += [(source, direct) for source in node.inputs if not graph.tensors[source].is_float]
