"""A graph → a Core AI program → a ``.aimodel`` on disk."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters.coreai import build as b
from converters.coreai.build import Value
from converters.coreai.compress import compressed, worth
from converters.coreai.ops import OPS, Context
from converters.errors import ConversionError
from converters.graph import Array, Graph, Node, Tensor
from converters.half import HALF_MASK, halved, masks, within
from converters.positions import counted
from converters.ranges import Range, ranges

# isort: split
from coreai._compiler.ir import Location
from coreai.authoring import AIProgram, Module
from coreai.authoring import Context as Session
from coreai.runtime import AIModelAssetMetadata

FUNCTION = "main"
PRECISION, FLOAT32 = "precision", "float32"
"""Keys of a package's metadata."""
METADATA, NO_DAY = "metadata.json", "19700101T000000Z"
MAX_CONSTANT_BYTES = 2 << 30


def save(graph: Graph, path: Path, precision: str, target: str, float32: Sequence[str]) -> None:
    """Write ``graph`` as a package at ``path``, which must not exist.

    Raises:
        ConversionError: what no package can hold.
    """
    metadata = AIModelAssetMetadata()
    metadata.set_custom(PRECISION, precision)
    metadata.set_custom(FLOAT32, json.dumps(list(float32)))
    lower(graph, precision, float32).save_asset(path, metadata)
    # Apple writes the day, whatever it is told, and keys in any order: two conversions of one function shall be equal.
    told = json.loads((path / METADATA).read_text(encoding="utf-8")) | {"creationDate": NO_DAY}
    (path / METADATA).write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def lower(graph: Graph, precision: str = "float32", float32: Sequence[str] = ()) -> AIProgram:
    """The graph as a program of one function, ``main``; inputs and outputs keep their names, shapes and MLX's dtypes,
    floats aside, which are float32 at its edges.

    Args:
        precision: in which floats are computed; below float32 squares are taken of numbers that were scaled first.
        float32: modules that compute in float32 all the same, with what they hold.
    """
    _check_constants(graph)
    if precision != "float32":
        graph = halved(graph)
    session = Session()
    with session, Location.unknown(session._mlir_context):
        module = Module.create()
        try:
            with module:
                _function(graph, precision, float32)
        except (RuntimeError, ValueError) as error:
            # Leaving a module compiles what stands in it, whatever stopped its making, and that was the first fault.
            if isinstance(first := error.__context__, ConversionError | AssertionError):
                raise first from None
            if isinstance(error, ConversionError):
                raise
            # What the compiler says first names the operation; the rest tells where it stands.
            said = re.sub(r"^.*?>>: ", "", str(error), flags=re.DOTALL).partition("\n")[0]
            raise ConversionError(f"Core AI's compiler refuses the program: {said}") from error
        return AIProgram(module)


def _function(graph: Graph, precision: str, float32: Sequence[str]) -> None:
    """Add the graph to the module that is being built."""
    half, found = precision != "float32", ranges(graph)
    apart = counted(graph, found) if half else set()
    function = b.dialect.GraphOp(
        name=FUNCTION,
        input_types=[b.tensor_type(t.shape, _edge(t)) for t in graph.inputs],
        result_types=[],
        input_names=[t.name for t in graph.inputs],
    )
    with function.block:
        values = _Values(graph, precision)
        for tensor, value in zip(graph.inputs, function.arguments, strict=True):
            is_mask = half and tensor.is_float and masks(graph, tensor.name)
            # Of infinities alone a softmax makes NaN.
            values.made[tensor.name] = b.maximum(value, HALF_MASK) if is_mask else value
        for node in graph.nodes:
            whole = not half or node.out.name in apart or within([node.scope], float32)
            values.add(values.context(node, found, np.dtype(np.float32 if whole else np.float16)))
        outputs = [(public, values.leaving(name)) for public, name in graph.outputs.items()]
    function.set_outputs_spec_from_dict(OrderedDict(outputs))


class _Values:
    """What a function has made so far; constants enter it where they are first read, in the type that is asked for."""

    def __init__(self, graph: Graph, precision: str):
        self.graph, self.precision = graph, precision
        self.made: dict[str, Value] = {}
        self.constants: dict[tuple[str, np.dtype[Any]], Value] = {}

    def context(self, node: Node, found: Mapping[str, Range], real: np.dtype[Any]) -> Context:
        """Where a node is lowered."""
        return Context(
            node,
            tuple(self.graph.tensors[name] for name in node.inputs),
            tuple(self.graph.constants.get(name) for name in node.inputs),
            tuple(found.get(name) for name in node.inputs),
            real,
            partial(self.stored, real),
        )

    def stored(self, real: np.dtype[Any], array: Array, axis: int) -> Value:
        """A weight as a value."""
        packs = self.precision == "int8" and real == np.float16 and worth(array)
        return compressed(array, axis) if packs else b.const(array, real)

    def add(self, ctx: Context) -> None:
        """Lower a node."""
        row = OPS[ctx.node.op]
        reads = zip(ctx.node.inputs, ctx.sources, ctx.constants, strict=True)
        operands = [None if row.packed and held is not None else self.read(ctx, name, t) for name, t, held in reads]
        found = row.lower(ctx, *operands)
        for tensor, value in zip(ctx.node.outputs, found if isinstance(found, list | tuple) else [found], strict=True):
            if b.shape_of(value) != tensor.shape or b.dtype_of(value) != ctx.dtype(tensor):
                raise AssertionError(
                    f"{ctx.node.op} in {ctx.node.scope or 'the function'} was lowered to {b.shape_of(value)} "
                    f"{b.dtype_of(value)}; MLX has {tensor.shape} {tensor.dtype}. "
                    f"A fault of {row.lower.__module__}.{row.lower.__name__}"
                )
            self.made[tensor.name] = value

    def read(self, ctx: Context, name: str, tensor: Tensor) -> Value:
        """A tensor in the type in which a node reads it."""
        dtype = ctx.dtype(tensor)
        if name in self.made:
            return b.cast(self.made[name], dtype)
        key = name, dtype
        if key not in self.constants:
            array = self.graph.constants[name]
            whole = dtype.kind != "f"
            self.constants[key] = b.const(array, dtype) if whole else self.stored(dtype, array, array.ndim - 1)
        return self.constants[key]

    def leaving(self, name: str) -> Value:
        """A tensor as it leaves the package."""
        tensor = self.graph.tensors[name]
        if name not in self.made:
            return b.const(self.graph.constants[name], _edge(tensor))
        value = b.cast(self.made[name], _edge(tensor))
        # An input that is an output too; the runtime takes no function that computes nothing.
        return b.reshape(b.reshape(value, (1, *tensor.shape)), tensor.shape) if name in self.inputs else value

    @property
    def inputs(self) -> set[str]:
        """The names of the function's own arguments."""
        return {tensor.name for tensor in self.graph.inputs}


def _edge(tensor: Tensor) -> Any:
    if tensor.dtype == "complex64":
        raise ConversionError(f"{tensor.name} is complex and an output; return mx.real and mx.imag of it")
    return np.float32 if tensor.is_float else np.dtype(tensor.dtype)


def _check_constants(graph: Graph) -> None:
    if faults := [
        f"{name} holds {array.nbytes / 2**30:.1f} GiB, and a package takes less than 2 a constant: split it"
        for name, array in graph.constants.items()
        if array.nbytes >= MAX_CONSTANT_BYTES
    ]:
        raise ConversionError("; ".join(faults))
