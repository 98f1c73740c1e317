"""Reference executor: compute a saved Core ML program with NumPy, on any operating system.

Float operations compute and accumulate in fp32, then round to the dtype that the program declares; so an fp16
program is followed value by value, and what exceeds 65504 becomes infinite.

Whatever the files hold, reading and running a package ends in one of three errors: FileNotFoundError where a file is
missing, NotImplementedError where an operation or one of its forms has no implementation, and PackageError, in one
line and with its cause chained, where a part is damaged or the inputs don't fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from converters.coreml.executor.blob import STORAGE, Array
from converters.coreml.executor.ops import OPS
from converters.coreml.executor.package import Operation, Package, Value, blamed, load_package
from converters.coreml.executor.steps import Binder, Step, fits, rounding_to
from converters.errors import PackageError, failure

__all__ = ["OPS", "Executor", "Operation", "Package", "PackageError", "Value", "load_package"]


def _declared(value: Array, dtype: str) -> Array:
    """The array as a caller sees it: in the declared dtype; bf16 has none in NumPy and stays fp32."""
    storage = STORAGE.get(dtype)
    return value if storage is None or dtype == "bf16" else value.astype(storage, copy=False)


class Executor:
    """Runs one function of a saved ``.mlpackage``.

    Raises:
        FileNotFoundError: no such package, or a file that it names is missing.
        NotImplementedError: operations that have no implementation, at load, once, all of them.
        PackageError: the package is damaged, or, when it is called, the inputs don't fit.
    """

    def __init__(self, package: Path | str | Package, function: str = "main"):
        self.package = package if isinstance(package, Package) else load_package(package, function)
        self._check_operations()
        binder = Binder(self.package)
        self._values, self._types = binder.constants, binder.declared
        self._steps: list[Step] = []
        self._folded: list[str] = []
        with np.errstate(all="ignore"):
            for operation in self.package.operations:
                with blamed(f"{self.package.path}: {operation}"):
                    self._add(operation, binder)

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
        made = (v for o in package.operations if o.type in OPS for v in o.outputs)
        missing.update(f"result of type {v.dtype}" for v in made if v.dtype not in STORAGE)
        if missing:
            listed = ", ".join(f"{name:.60} ×{count}" for name, count in sorted(missing.items())[:20])
            told = f"no implementation of {listed}; {len(OPS)} operations have one"
            raise failure(str(package.path), NotImplementedError(told))

    def _add(self, operation: Operation, binder: Binder) -> None:
        """Bind an operation, and compute it now when all it reads is constant."""
        if operation.type == "const":
            binder.constant(operation)
            return
        step = binder.bind(operation)
        binder.declared.update((v.name, v) for v in operation.outputs)
        if step.single or step.several:
            self._steps.append(step)
        else:
            step.run(binder.constants)
            self._folded += [v.name for v in operation.outputs]

    def _check_inputs(self, inputs: Mapping[str, ArrayLike]) -> dict[str, Any]:
        """The inputs in the declared dtypes; one PackageError lists all faults."""
        faults: list[str] = []
        known = {v.name for v in self.package.inputs}
        faults += [f"{name}: unknown; the inputs are {sorted(known)}" for name in inputs if name not in known]
        taken: dict[str, Any] = {}
        for declared in self.package.inputs:
            if declared.name not in inputs:
                faults.append(f"{declared.name}: missing; expected {declared}")
                continue
            try:
                given = np.asarray(inputs[declared.name])
            except Exception as error:
                faults.append(f"{declared.name}: no array ({type(error).__name__}); expected {declared}")
                continue
            if not fits(given.shape, declared.shape):
                faults.append(f"{declared.name}: got the shape {given.shape}, expected {declared}")
            elif given.dtype.kind not in "biuf":
                faults.append(f"{declared.name}: got dtype {given.dtype}, expected {declared}")
            else:
                value = rounding_to(declared.dtype)(given)
                if value.dtype.kind in "iu" and not np.array_equal(value, given):
                    faults.append(f"{declared.name}: got numbers that {declared.dtype} cannot hold")
                taken[declared.name] = value
        if faults:
            raise failure(str(self.package.path), ValueError(f"wrong inputs: {'; '.join(faults)}"), limit=2000)
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
        return {n: _declared(np.asarray(values[n]), self._types[n].dtype) for n in names}
