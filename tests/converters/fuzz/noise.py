"""How far rounding alone moves a function's results: it is computed a few times with each step's result moved a little.

Where a comparison, a rounding or a search hangs on the last digit, the runs differ too, and nothing is asked of it.
More can be tried in the same way, as rows of the table of known differences: results kept in float16, and zeros of the
other sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from converters.graph import Graph, Node
from converters.interpret import evaluate

RUNS = 6
LOW = (mx.float16, mx.bfloat16)
UNIT, HALF_UNIT, BRAIN_UNIT = 4e-7, 2.0**-11, 2.0**-8
"""The relative size of one move: MLX's functions are right to a few units of float32; float16 has 11 bits."""
EXACT = {
    *("Reshape", "Flatten", "Unflatten", "Squeeze", "ExpandDims", "Transpose", "Broadcast", "Slice", "Pick", "Split"),
    *("Concatenate", "Pad", "AsStrided", "Depends", "Full", "Gather", "GatherAxis", "Take", "DynamicSlice", "Select"),
    *("DynamicSliceUpdate", "MaskedScatter", "Sort", "Partition", "Maximum", "Minimum", "Abs", "Negative", "Sign"),
    *("Ceil", "Floor", "Round", "ReLU", "AsType", "Real", "Imag", "Conjugate", "Arange"),
}
"""What makes no number that isn't there before, or a whole one."""
SUMS = {
    *("Matmul", "AddMM", "Linear", "BlockMaskedMM", "GatherMM", "GatherQMM", "QuantizedMatmul", "Convolution", "FFT"),
    *("Hadamard", "Inverse", "LayerNorm", "RMSNorm", "Length", "Attention", "Pool", "Reduce", "Scan", "Scatter"),
    *("ScatterAxis"),
}
"""What adds many numbers, which may cancel: its operands are moved, and not the result alone."""
QUOTIENTS = ("FloorDivide", "DivMod")


@dataclass(frozen=True)
class Spread:
    """One output: by how much the runs differ, number by number, and where they agree at all."""

    size: np.ndarray
    steady: np.ndarray


@dataclass(frozen=True)
class Trouble:
    """What is done to each step's result."""

    unit: float
    half: bool = False
    zeros: bool = False

    def rounded(self, array: mx.array) -> mx.array:
        """As float16 holds it, if that is asked for: infinite beyond 65504, and zero below 6e-8."""
        if not self.half or array.dtype not in (mx.float32, mx.complex64):
            return array
        if array.dtype == mx.complex64:
            return self.rounded(mx.real(array)) + 1j * self.rounded(mx.imag(array))
        return array.astype(mx.float16).astype(mx.float32)

    def moved(self, array: mx.array, rng: np.random.Generator) -> mx.array:
        """Each number times one near 1."""
        if array.dtype not in (mx.float32, mx.complex64) or not array.size:
            return array
        made = np.array(array)
        with np.errstate(all="ignore"):
            factor = (1 + self.unit * rng.normal(size=made.shape)).astype(np.float32)
            # A complex product with an infinity would make NaN of the other part.
            if made.dtype.kind == "c":
                other = (1 + self.unit * rng.normal(size=made.shape)).astype(np.float32)
                return mx.array((made.real * factor + 0j).astype(np.complex64)) + 1j * mx.array(made.imag * other)
            return mx.array(made * factor)

    def signed(self, array: mx.array, rng: np.random.Generator) -> mx.array:
        """Zeros of either sign, if that is asked for."""
        if not self.zeros or array.dtype != mx.float32 or not array.size:
            return array
        zeros = rng.choice(np.array([0.0, -0.0], np.float32), array.shape)
        return mx.where(array == 0, mx.array(zeros), array)


def unit_of(graph: Graph, half: bool) -> float:
    """What one step may be off by: the source's own dtypes count too, whose constants are of so many bits."""
    dtypes = {t.dtype for t in graph.tensors.values()}
    return BRAIN_UNIT if "bfloat16" in dtypes else HALF_UNIT if half or "float16" in dtypes else UNIT


def spreads(
    graph: Graph, inputs: Mapping[str, mx.array], trouble: Trouble, rng: np.random.Generator
) -> dict[str, Spread]:
    """Each output's spread, by public name, of a graph in float32."""
    plain = _run(graph, inputs, Trouble(0.0), None)
    runs = [_run(graph, inputs, trouble, rng) for _ in range(RUNS)]
    return {name: _spread(plain[name], [run[name] for run in runs]) for name in graph.outputs}


def _spread(plain: np.ndarray, runs: list[np.ndarray]) -> Spread:
    if plain.dtype.kind != "f":
        steady = np.all([run == plain for run in runs], axis=0)
        return Spread(np.zeros(plain.shape), np.asarray(steady))
    with np.errstate(all="ignore"):
        apart = [np.where((run == plain) | (np.isnan(run) & np.isnan(plain)), 0, np.abs(run - plain)) for run in runs]
    size = np.max(apart, axis=0)
    return Spread(size, np.isfinite(size))


def _run(
    graph: Graph, inputs: Mapping[str, mx.array], trouble: Trouble, rng: np.random.Generator | None
) -> dict[str, np.ndarray]:
    def settled(array: mx.array) -> mx.array:
        array = trouble.rounded(array.astype(mx.float32) if array.dtype in LOW else array)
        return array if rng is None else trouble.signed(array, rng)

    values = {name: settled(array) for name, array in inputs.items()}
    values |= {name: settled(mx.array(array)) for name, array in graph.constants.items()}
    with mx.stream(mx.cpu):
        for node in graph.nodes:
            operands, moves = [values[name] for name in node.inputs], rng is not None and not _exact(node)
            if moves and node.op in SUMS:
                operands = [trouble.moved(array, rng) for array in operands]
            if moves and node.op in QUOTIENTS and trouble.unit > UNIT:
                operands = _of_rounded_quotient(operands, trouble, rng)
            for tensor, made in zip(node.outputs, evaluate(node, *operands), strict=True):
                values[tensor.name] = settled(_moved(node, made, trouble, rng) if moves else made)
        return {public: np.array(values[name]) for public, name in graph.outputs.items()}


def _moved(node: Node, array: mx.array, trouble: Trouble, rng: np.random.Generator) -> mx.array:
    if node.op == "FFT":
        # Each of its numbers is a sum of all, in an order that only MLX's algorithm knows.
        peak = mx.abs(array).max() + 0 * array
        array = array + (trouble.moved(peak, rng) - peak)
    return trouble.moved(array, rng)


def _of_rounded_quotient(operands: list[mx.array], trouble: Trouble, rng: np.random.Generator) -> list[mx.array]:
    """Another dividend, whose quotient is what rounding makes of it: near a whole number it decides."""
    x, y = operands
    return [trouble.rounded(trouble.moved(x / y, rng)) * y, y] if x.dtype == mx.float32 else operands


def _exact(node: Node) -> bool:
    if node.op in ("Reduce", "Scan"):
        return node.args[0] not in (2, 3)
    if node.op in ("Scatter", "SliceUpdate", "ScatterAxis"):
        return node.args[0] == {"ScatterAxis": 1}.get(node.op, 4)
    return node.op in EXACT
