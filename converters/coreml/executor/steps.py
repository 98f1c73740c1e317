"""An operation of a program, its arguments checked and bound to its function: a step that can be run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.coreml.executor.blob import STORAGE, Array
from converters.coreml.executor.ops import OPS
from converters.coreml.executor.package import Binding, Operation, Package, Value
from converters.coreml.executor.registry import Entry, Kind, Node
from converters.errors import failure

# Up to so many numbers, an operation computes what it will and is judged by its result.
SMALL = 1 << 16

Rounding = Callable[[Any], Array]


def _round_half(value: Any) -> Array:
    return np.asarray(value).astype(np.float16).astype(np.float32)


def _round_brain(value: Any) -> Array:
    """fp32 -> bf16, ties to even, kept as fp32."""
    bits = np.asarray(value, dtype=np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    rounded = bits.astype(np.uint32).view(np.float32)
    return np.where(np.isnan(value), np.float32(np.nan), rounded)


def rounding_to(dtype: str) -> Rounding:
    """The function that brings a result to a declared dtype; floats stay fp32 in memory."""
    if dtype == "fp16":
        return _round_half
    if dtype == "bf16":
        return _round_brain
    kept = STORAGE[dtype] if dtype != "fp64" else np.dtype(np.float32)
    return lambda value: np.asarray(value).astype(kept, copy=False)


def prepared(value: Array) -> Any:
    """A constant as operations take it: floats as fp32, scalars as Python numbers or texts."""
    if value.dtype == np.float16:
        value = value.astype(np.float32)
    return value.item() if value.ndim == 0 else np.asarray(value)


def fits(shape: tuple[int, ...], declared: tuple[int | None, ...] | None) -> bool:
    """Whether a shape is a declared one."""
    if declared is None or shape == declared:
        return True
    return len(shape) == len(declared) and all(d is None or d == s for s, d in zip(shape, declared, strict=True))


@dataclass(frozen=True)
class _Limits:
    """Refuses an operation that is about to make more than its outputs are declared to hold, or to need too much."""

    entry: Entry
    makes: int
    needs: int

    def check(self, arguments: Mapping[str, Any]) -> None:
        given = {key: value for key, value in arguments.items() if key != "node"}
        for count, limit in ((self.entry.makes, self.makes), (self.entry.needs, self.needs)):
            if count and (made := count(**given)) > limit:
                raise ValueError(f"would make {made:,} numbers; expected {limit:,} at most")


@dataclass(frozen=True)
class Step:
    """An operation bound to its function and constants; ``limits`` where only a run can tell how much it makes."""

    node: Node
    where: str
    function: Callable[..., Any]
    constants: dict[str, Any]
    single: tuple[tuple[str, str], ...]
    several: tuple[tuple[str, tuple[Any, ...]], ...]
    roundings: tuple[Rounding, ...]
    limits: _Limits | None

    def run(self, values: dict[str, Any]) -> None:
        """Compute the outputs from ``values`` and add them to it.

        Raises:
            PackageError: whatever goes wrong, the error itself being the cause.
            NotImplementedError: a form of the operation that has no implementation.
        """
        arguments = self.constants.copy()
        for key, name in self.single:
            arguments[key] = values[name]
        for key, parts in self.several:
            arguments[key] = tuple(values[part] if isinstance(part, str) else part for part in parts)
        try:
            if self.limits:
                self.limits.check(arguments)
            result = self.function(**arguments)
            results = result if isinstance(result, tuple) else (result,)
            for value, declared, rounding in zip(results, self.node.outputs, self.roundings, strict=True):
                rounded = rounding(value)
                if not fits(rounded.shape, declared.shape):
                    raise ValueError(f"computed the shape {rounded.shape}, but the program declares {declared}")
                values[declared.name] = rounded
        except Exception as error:
            raise failure(self.where, error) from error


class Binder:
    """Binds one operation after the other to its function.

    ``constants`` holds what is known by then, by name; ``declared`` the type of everything that an operation may read.
    """

    def __init__(self, package: Package):
        self.package = package
        self.constants: dict[str, Any] = {}
        self.declared: dict[str, Value] = {v.name: v for v in package.inputs}

    def constant(self, operation: Operation) -> None:
        """Take a ``const`` operation, whose value must be what its output is declared to be."""
        if len(operation.outputs) != 1 or "val" not in operation.attributes:
            raise ValueError("expected one output and the attribute val")
        (declared,), value = operation.outputs, operation.attributes["val"]
        storage = np.dtype(np.float32) if declared.dtype == "bf16" else STORAGE.get(declared.dtype, np.dtype(object))
        if value.dtype != storage or not fits(value.shape, declared.shape):
            raise ValueError(f"val: got {value.dtype} {value.shape}, expected {declared}")
        self.constants[declared.name] = prepared(value)
        self.declared[declared.name] = declared

    def bind(self, operation: Operation) -> Step:
        """Check an operation's arguments against its function's parameters, and what it will make of them."""
        entry = OPS[operation.type]
        given: dict[str, tuple[Binding, ...]] = dict(operation.inputs)
        if operation.type.startswith("constexpr_"):
            # Up to iOS 17 a compressed constant carries its parameters as attributes.
            given.update((key, (value,)) for key, value in operation.attributes.items() if key != "name")
        if not given.keys() <= entry.kinds.keys() or not entry.required <= given.keys():
            told = ", ".join(key if key in entry.required else f"{key}?" for key in entry.kinds)
            raise ValueError(f"has the arguments {', '.join(given)}; expected {told}")
        node = Node(operation.type, operation.name, self.package.opset_version, operation.outputs)
        constants: dict[str, Any] = {"node": node} if entry.wants_node else {}
        single: list[tuple[str, str]] = []
        several: list[tuple[str, tuple[Any, ...]]] = []
        for key, bindings in given.items():
            kind = entry.kinds[key]
            if len(bindings) != 1 and not (kind.several and bindings):
                raise ValueError(f"{key}: got {len(bindings)} values, expected {kind.told}")
            parts = tuple(self._argument(key, binding, kind) for binding in bindings)
            if not any(isinstance(b, str) and b not in self.constants for b in bindings):
                constants[key] = parts if kind.several else parts[0]
            elif kind.several:
                several.append((key, parts))
            else:
                single.append((key, parts[0]))
        return Step(
            node=node,
            where=f"{self.package.path}: {operation}",
            function=entry.function,
            constants=constants,
            single=tuple(single),
            several=tuple(several),
            roundings=tuple(rounding_to(v.dtype) for v in operation.outputs),
            limits=self._limits(operation, entry, constants, [*((k, (n,)) for k, n in single), *several]),
        )

    def _argument(self, key: str, binding: Binding, kind: Kind) -> Any:
        """A constant as the function takes it, or the name of a value to come."""
        if isinstance(binding, str) and binding not in self.declared:
            raise ValueError(f"{key}: reads {binding[:60]!r}, which nothing before it makes")
        later = isinstance(binding, str) and binding not in self.constants
        given = self.constants.get(binding) if isinstance(binding, str) else prepared(binding)
        if told := kind.fault(self.declared[str(binding)] if later else given):
            raise ValueError(f"{key}: {told}")
        return binding if later else kind.made(given)

    def _limits(
        self,
        operation: Operation,
        entry: Entry,
        constants: Mapping[str, Any],
        later: list[tuple[str, tuple[Any, ...]]],
    ) -> _Limits | None:
        """Check how much an operation makes, now where the program tells; what it returns is to check at each run."""
        if not entry.makes and not entry.needs:
            return None
        fixed = all(v.fixed for v in operation.outputs)
        makes = max(SMALL, sum(v.count for v in operation.outputs)) if fixed else self.package.room
        limits = _Limits(entry, makes, self.package.room)
        names = [part for _, parts in later for part in parts if isinstance(part, str)]
        if any(key in entry.reads for key, _ in later) or not all(self.declared[name].fixed for name in names):
            return limits

        def shape_of(part: Any) -> Any:
            # Of a value to come, an array that has its shape and takes no memory.
            return np.broadcast_to(0, self.declared[part].sizes) if isinstance(part, str) else part

        shapes = {key: tuple(map(shape_of, parts)) for key, parts in later}
        limits.check({**constants, **{key: v if entry.kinds[key].several else v[0] for key, v in shapes.items()}})
        return None
