"""Reference executor: compute a saved Core ML program with NumPy, on any operating system.

Float operations compute and accumulate in fp32, then round to the dtype that the program declares; so an fp16
program is followed value by value, and what exceeds 65504 becomes infinite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from converters.coreml.executor.blob import STORAGE, Array
from converters.coreml.executor.ops import OPS
from converters.coreml.executor.package import Operation, Package, Value, load_package
from converters.coreml.executor.registry import Node

__all__ = ["OPS", "Executor", "Operation", "Package", "Value", "load_package"]

Rounding = Callable[[Any], Array]


def _round_half(value: Any) -> Array:
    return np.asarray(value).astype(np.float16).astype(np.float32)


def _round_brain(value: Any) -> Array:
    """fp32 -> bf16, ties to even, kept as fp32."""
    bits = np.asarray(value, dtype=np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    rounded = bits.astype(np.uint32).view(np.float32)
    return np.where(np.isnan(value), np.float32(np.nan), rounded)


def _rounding(dtype: str) -> Rounding:
    """The function that brings a result to a declared dtype; floats stay fp32 in memory."""
    if dtype == "fp16":
        return _round_half
    if dtype == "bf16":
        return _round_brain
    kept = STORAGE.get(dtype)
    if dtype == "fp64":
        kept = np.dtype(np.float32)
    if kept is None:
        return np.asarray
    return lambda value: np.asarray(value).astype(kept, copy=False)


def _declared(value: Array, dtype: str) -> Array:
    """The array as a caller sees it: in the declared dtype; bf16 has none in NumPy and stays fp32."""
    storage = STORAGE.get(dtype)
    return value if storage is None or dtype == "bf16" else value.astype(storage, copy=False)


def _prepare(value: Array) -> Any:
    """A constant as operations take it: floats as fp32, scalars as Python numbers or texts."""
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    return value.item() if value.ndim == 0 else np.asarray(value)


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...] | None) -> bool:
    if declared is None or shape == declared:
        return True
    return len(shape) == len(declared) and all(d is None or d == s for s, d in zip(shape, declared, strict=True))


@dataclass(frozen=True)
class _Step:
    """An operation bound to its function and constants."""

    node: Node
    function: Callable[..., Any]
    constants: dict[str, Any]
    single: tuple[tuple[str, str], ...]
    several: tuple[tuple[str, tuple[Any, ...]], ...]
    roundings: tuple[Rounding, ...]

    def run(self, values: dict[str, Any]) -> None:
        """Compute the outputs from ``values`` and add them to it."""
        arguments = self.constants.copy()
        for key, name in self.single:
            arguments[key] = values[name]
        for key, names in self.several:
            arguments[key] = tuple(values[n] if isinstance(n, str) else _prepare(n) for n in names)
        try:
            result = self.function(**arguments)
        except Exception as error:
            error.add_note(f"in the MIL operation {self.node.type} {self.node.name!r}")
            raise
        results = result if isinstance(result, tuple) else (result,)
        for value, declared, rounding in zip(results, self.node.outputs, self.roundings, strict=True):
            rounded = rounding(value)
            if not _fits(rounded.shape, declared.shape):
                raise ValueError(
                    f"{self.node.type} {self.node.name!r}: computed the shape {rounded.shape}, "
                    f"but the program declares {declared}"
                )
            values[declared.name] = rounded


class Executor:
    """Runs one function of a saved ``.mlpackage``.

    Raises ``NotImplementedError`` at load, once, naming each operation that has no implementation.
    """

    def __init__(self, path: Path | str, function: str = "main"):
        self.package = load_package(path, function)
        self._check_operations()
        self._values: dict[str, Any] = {}
        self._dtypes: dict[str, str] = {v.name: v.dtype for v in self.package.inputs}
        self._steps: list[_Step] = []
        self._folded: list[str] = []
        with np.errstate(all="ignore"):
            for operation in self.package.operations:
                self._bind(operation)

    @property
    def inputs(self) -> dict[str, tuple[tuple[int | None, ...] | None, str]]:
        """Name -> (shape, dtype)."""
        return {v.name: (v.shape, v.dtype) for v in self.package.inputs}

    @property
    def outputs(self) -> dict[str, tuple[tuple[int | None, ...] | None, str]]:
        """Name -> (shape, dtype)."""
        return {v.name: (v.shape, v.dtype) for v in self.package.outputs}

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self.package.operations

    def op_counts(self) -> Counter[str]:
        """How many operations of each MIL type the program has."""
        return Counter(o.type for o in self.package.operations)

    def _check_operations(self) -> None:
        package = self.package
        missing = Counter(o.type for o in package.operations if o.type != "const" and o.type not in OPS)
        missing.update(f"input of type {v.dtype}" for v in package.inputs if v.dtype not in STORAGE)
        if missing:
            listed = ", ".join(f"{name} ×{count}" for name, count in sorted(missing.items()))
            raise NotImplementedError(f"{package.path}: no implementation of {listed}; {len(OPS)} operations have one")

    def _bind(self, operation: Operation) -> None:
        """Prepare an operation; compute it now when all it reads is constant."""
        self._dtypes.update((v.name, v.dtype) for v in operation.outputs)
        if operation.type == "const":
            self._values[operation.name] = _prepare(operation.attributes["val"])
            return
        entry = OPS[operation.type]
        node = Node(operation.type, operation.name, self.package.opset_version, operation.outputs)
        constants: dict[str, Any] = {"node": node} if entry.wants_node else {}
        single: list[tuple[str, str]] = []
        several: list[tuple[str, tuple[Any, ...]]] = []
        if operation.type.startswith("constexpr_"):
            # Up to iOS 17 a compressed constant carries its parameters as attributes.
            constants.update((k, _prepare(v)) for k, v in operation.attributes.items() if k != "name")
        for key, bindings in operation.inputs.items():
            fixed = all(not isinstance(b, str) or b in self._values for b in bindings)
            if fixed:
                parts = tuple(self._values[b] if isinstance(b, str) else _prepare(b) for b in bindings)
                constants[key] = parts[0] if len(parts) == 1 else parts
            elif len(bindings) == 1 and isinstance(bindings[0], str):
                single.append((key, bindings[0]))
            else:
                several.append((key, bindings))
        roundings = tuple(_rounding(v.dtype) for v in operation.outputs)
        step = _Step(node, entry.function, constants, tuple(single), tuple(several), roundings)
        if single or several:
            self._steps.append(step)
            return
        step.run(self._values)
        self._folded += [v.name for v in operation.outputs]

    def _check_inputs(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Any]:
        """The inputs in the declared dtypes; one ValueError lists all faults."""
        faults: list[str] = []
        known = {v.name for v in self.package.inputs}
        faults += [f"{name}: unknown; the inputs are {sorted(known)}" for name in inputs if name not in known]
        taken: dict[str, Any] = {}
        for declared in self.package.inputs:
            if declared.name not in inputs:
                faults.append(f"{declared.name}: missing; expected {declared}")
                continue
            given = np.asarray(inputs[declared.name])
            if not _fits(given.shape, declared.shape):
                faults.append(f"{declared.name}: got the shape {given.shape}, expected {declared}")
            elif given.dtype.kind not in "biuf":
                faults.append(f"{declared.name}: got dtype {given.dtype}, expected {declared}")
            else:
                value = _rounding(declared.dtype)(given)
                if value.dtype.kind in "iu" and not np.array_equal(value, given):
                    faults.append(f"{declared.name}: got numbers that {declared.dtype} cannot hold")
                taken[declared.name] = value
        if faults:
            raise ValueError(f"{self.package.path}: wrong inputs:\n  " + "\n  ".join(faults))
        return taken

    def _run(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Any]:
        with np.errstate(all="ignore"):
            values = self._values | self._check_inputs(inputs)
            for step in self._steps:
                step.run(values)
        return values

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """Compute the outputs, by name and in the declared dtypes."""
        values = self._run(inputs)
        return {v.name: _declared(np.asarray(values[v.name]), v.dtype) for v in self.package.outputs}

    def trace(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """Compute every value that is not a plain constant: inputs, intermediate ones and outputs, by MIL name."""
        values = self._run(inputs)
        names = [v.name for v in self.package.inputs] + self._folded
        names += [v.name for step in self._steps for v in step.node.outputs]
        return {n: _declared(np.asarray(values[n]), self._dtypes[n]) for n in names}
