"""A saved ``.aimodel`` as functions, steps and tensors; to be read in a process of its own, which damage may end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.anatomy import MOST_READ, UNKNOWN, Body, Constant, Step, Tensor

# isort: split
from coreai import authoring
from coreai._compiler.ir import DenseElementsAttr, ShapedType, StringAttr

_DTYPES = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i1": "bool"}
_KINDS = {"si": "int", "ui": "uint", "i": "int"}
_READ = ("float16", "float32", "int32")
"""Constants of these are read for what they hold."""
_ENDS = ("output", "yield", "condition")
"""What hands numbers on and makes none."""


def anatomy(path: Path) -> list[Body]:
    """The graphs of a package; an exception of any kind, or the end of the process, where it is damaged."""
    program = authoring.AIModelAsset.load(path).program
    module = program._module._mlir_module
    with module.context:
        return [_Reader(op).body for op in module.body.operations if op.operation.name == "coreai.graph"]


class _Reader:
    """Gives each value of a graph the name that Apple's text form has for it."""

    def __init__(self, graph: Any):
        self.names: dict[Any, str] = {}
        self.count = 0
        self.steps: list[Step] = []
        self.constants: list[Constant] = []
        operation = graph.operation
        attributes = operation.attributes
        block = operation.regions[0].blocks[0]
        public = _public(attributes, "arg_attrs", len(block.arguments), "%arg")
        self.names.update(zip(block.arguments, public, strict=True))
        inputs = tuple(self.tensor(value) for value in block.arguments)
        self.read(block)
        returned = list(block.operations)[-1].operation.operands if len(block.operations) else ()
        outputs = _public(attributes, "res_attrs", len(returned), "output ")
        name = StringAttr(attributes["sym_name"]).value
        self.body = Body(name, inputs, tuple(outputs), tuple(self.steps), tuple(self.constants))

    def read(self, block: Any) -> None:
        """Take in a block with all that stands inside it."""
        for view in block.operations:
            operation = view.operation
            op = operation.name.rpartition(".")[2].removeprefix("broadcasting_")
            made = tuple(self.named(value, len(operation.results) > 1) for value in operation.results)
            self.count += bool(made)
            if op == "constant":
                self.constants += [_constant(tensor, operation) for tensor in made]
            elif op not in _ENDS:
                reads = tuple(self.tensor(value) for value in operation.operands)
                self.steps.append(Step(op, made[0].name if made else op, reads, made))
            for inner in _blocks(operation):
                for argument in inner.arguments:
                    self.names[argument] = f"%{op} argument {argument.arg_number}"
                self.read(inner)

    def named(self, value: Any, several: bool) -> Tensor:
        """A result under its number."""
        self.names[value] = f"%{self.count}#{value.result_number}" if several else f"%{self.count}"
        return self.tensor(value)

    def tensor(self, value: Any) -> Tensor:
        """A value's name and type; what is no tensor has no dtype that anything asks for."""
        kind, name = value.type, self.names.get(value, "?")
        if not isinstance(kind, ShapedType):
            return Tensor(name, str(kind), ())
        if not kind.has_rank:
            return Tensor(name, _dtype(kind.element_type), None)
        sides = tuple(None if kind.is_dynamic_dim(axis) else kind.get_dim_size(axis) for axis in range(kind.rank))
        return Tensor(name, _dtype(kind.element_type), sides)


def _blocks(operation: Any) -> Iterator[Any]:
    return (block for region in operation.regions for block in region.blocks)


def _public(attributes: Any, key: str, count: int, stem: str) -> list[str]:
    """The names that a graph's attributes give its arguments or results."""
    held = [*attributes[key]] if key in attributes else []
    names = [StringAttr(one["coreai.name"]).value if "coreai.name" in one else "" for one in held[:count]]
    names += [""] * (count - len(names))
    return [name or f"{stem}{place}" for place, name in enumerate(names)]


def _dtype(kind: Any) -> str:
    text = str(kind)
    stem = text.rstrip("0123456789")
    return _DTYPES.get(text, text.replace(stem, _KINDS.get(stem, stem), 1))


def _constant(tensor: Tensor, operation: Any) -> Constant:
    size = math.prod(side or 0 for side in tensor.shape or ())
    held = operation.attributes["value"]
    bits = _bits(operation.results[0].type.element_type)
    span = UNKNOWN
    if 0 < size <= MOST_READ and tensor.dtype in _READ and isinstance(held, DenseElementsAttr):
        numbers = np.array(held)
        span = float(numbers.min()), float(numbers.max())
    return Constant(tensor, size * bits // 8, span)


def _bits(kind: Any) -> int:
    digits = "".join(c for c in str(kind) if c.isdigit())
    return int(digits) if digits else 8
