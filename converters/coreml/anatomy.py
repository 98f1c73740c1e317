"""A saved ``.mlpackage`` as functions, steps and tensors, for what judges packages of every format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.anatomy import MOST_READ, UNKNOWN, Body, Constant, Step, Tensor
from converters.coreml.executor.blob import Array
from converters.coreml.executor.package import (
    DTYPES,
    Binding,
    Operation,
    Package,
    Value,
    blamed,
    load_package,
    load_spec,
)

_FLOATS = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "bf16": "bfloat16"}
_FIRST = {"x": 0, "y": 1}
"""Arguments that come before the others, which follow by the alphabet."""


def anatomy(path: Path) -> list[Body]:
    """The functions of a package.

    Raises:
        FileNotFoundError, NotImplementedError, PackageError: see :func:`load_package`.
    """
    with blamed(str(path)):
        spec, _ = load_spec(path)
        names = sorted(spec.mlProgram.functions) or ["main"]
    return [_body(load_package(path, name)) for name in names]


def _body(package: Package) -> Body:
    operations = [*_all(package.operations)]
    known = {v.name: _tensor(v) for v in (*package.inputs, *(v for o in operations for v in o.outputs))}
    steps, constants = [], []
    for operation in operations:
        made = tuple(_tensor(value) for value in operation.outputs if value.dtype in DTYPES.values())
        if operation.type == "const" or operation.type.startswith("constexpr_"):
            # Of a packed constant, its parts are what the package holds.
            parts = [*operation.attributes.values(), *(b for b in _bindings(operation) if not isinstance(b, str))]
            constants += [_constant(tensor, parts) for tensor in made]
            continue
        reads = []
        for place, binding in enumerate(_bindings(operation)):
            if isinstance(binding, str):
                reads += [known[binding]] if binding in known else []
            elif binding.dtype != object:
                inline = Tensor(f"{operation.name} argument {place}", binding.dtype.name, binding.shape)
                constants.append(_constant(inline, [binding]))
                reads.append(inline)
        steps.append(Step(operation.type, operation.name, tuple(reads), made))
    inputs = tuple(known[value.name] for value in package.inputs if value.dtype in DTYPES.values())
    outputs = tuple(value.name for value in package.outputs)
    return Body(package.function, inputs, outputs, tuple(steps), tuple(constants))


def _all(operations: tuple[Operation, ...]) -> Iterator[Operation]:
    """Operations with those of the blocks inside them."""
    for operation in operations:
        yield operation
        yield from _all(operation.inner)


def _bindings(operation: Operation) -> list[Binding]:
    ordered = sorted(operation.inputs, key=lambda key: (_FIRST.get(key, len(_FIRST)), key))
    return [binding for key in ordered for binding in operation.inputs[key]]


def _tensor(value: Value) -> Tensor:
    return Tensor(value.name, _FLOATS.get(value.dtype, value.dtype), value.shape)


def _constant(tensor: Tensor, parts: list[Array]) -> Constant:
    numbers: list[Any] = [part for part in parts if part.dtype != object]
    span = UNKNOWN
    if len(numbers) == 1 and 0 < numbers[0].size <= MOST_READ and numbers[0].dtype.kind in "fiu":
        with np.errstate(invalid="ignore"):
            span = float(numbers[0].min()), float(numbers[0].max())
    return Constant(tensor, sum(part.nbytes for part in numbers), span)
