"""The graph between MLX and a package: tensors of fixed shapes, nodes in order, constants, and their rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FLOATS = ("float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
MAX_RANK = 5
"""Axes that a tensor has in a package at most: as many as Core ML takes, and the Neural Engine with it."""
DTYPES = (*FLOATS, *INTEGERS, "bool", "complex64")


@dataclass(frozen=True)
class Tensor:
    """A value's name, fixed shape and MLX dtype name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    def widened(self) -> Tensor:
        """The same in float32, where it is a float."""
        return replace(self, dtype="float32") if self.is_float else self


@dataclass(frozen=True)
class Node:
    """One primitive: its inputs' names, what it makes, MLX's own arguments, and the module it was called in."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[Tensor, ...]
    args: tuple[Any, ...] = ()
    scope: str = ""

    @property
    def out(self) -> Tensor:
        """The first output; most primitives have no other."""
        return self.outputs[0]

    def widened(self) -> Node:
        """The same with floats of float32."""
        return replace(self, outputs=tuple(tensor.widened() for tensor in self.outputs))


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each finds its inputs made.

    ``outputs`` maps public names to tensors; ``constants`` holds NumPy arrays (bfloat16 widened to float32).
    """

    inputs: tuple[Tensor, ...]
    outputs: Mapping[str, str]
    constants: Mapping[str, Array]
    nodes: tuple[Node, ...]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every value by name."""
        found = {t.name: t for t in self.inputs}
        found |= {name: Tensor(name, a.shape, a.dtype.name) for name, a in self.constants.items()}
        return found | {t.name: t for node in self.nodes for t in node.outputs}

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that makes each tensor; inputs and constants have none."""
        return {t.name: node for node in self.nodes for t in node.outputs}

    @cached_property
    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each tensor, once each."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    @property
    def is_low(self) -> bool:
        """Whether some of its numbers are floats of 16 bits."""
        return any(t.is_float and t.dtype != "float32" for t in self.tensors.values())

    def widened(self) -> Graph:
        """The same in float32 throughout."""
        return Graph(
            tuple(tensor.widened() for tensor in self.inputs),
            self.outputs,
            {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in self.constants.items()},
            tuple(node.widened() for node in self.nodes),
        )

    def counts(self) -> Counter[str]:
        """How often each primitive stands in the graph."""
        return Counter(node.op for node in self.nodes)

    def with_nodes(self, nodes: Iterable[Node], constants: Mapping[str, Array] | None = None) -> Graph:
        """The same inputs and outputs over other nodes, and constants added."""
        return replace(self, nodes=tuple(nodes), constants={**self.constants, **(constants or {})})

    def renamed(self, new: Mapping[str, str]) -> Graph:
        """Every reading of a tensor in ``new`` reads the one that it maps to, through chains."""

        def last(name: str) -> str:
            while name in new:
                name = new[name]
            return name

        nodes = tuple(replace(node, inputs=tuple(last(name) for name in node.inputs)) for node in self.nodes)
        return replace(self, nodes=nodes, outputs={public: last(name) for public, name in self.outputs.items()})

    def named(self, new: Mapping[str, str]) -> Graph:
        """The tensors in ``new`` under other names, everywhere."""

        def name(old: str) -> str:
            return new.get(old, old)

        def tensor(t: Tensor) -> Tensor:
            return replace(t, name=name(t.name))

        return Graph(
            tuple(map(tensor, self.inputs)),
            {public: name(old) for public, old in self.outputs.items()},
            {name(old): array for old, array in self.constants.items()},
            tuple(
                replace(n, inputs=tuple(map(name, n.inputs)), outputs=tuple(map(tensor, n.outputs))) for n in self.nodes
            ),
        )

    def check(self, after: str) -> Graph:
        """Raise where the graph breaks a rule, naming the pass ``after`` which it does; else return it.

        Raises:
            AssertionError: a name made twice, read before it is made, an output that nothing makes, or a dtype or a
                shape that no tensor may have. A fault of a pass, never of the function that is converted.
        """
        for fault in self._faults():
            raise AssertionError(f"after {after}: {fault}")
        return self

    def _faults(self) -> Iterator[str]:
        made: set[str] = set()
        for name in [t.name for t in self.inputs] + list(self.constants):
            if name in made:
                yield f"{name} is made twice"
            made.add(name)
        for node in self.nodes:
            for name in node.inputs:
                if name not in made:
                    yield f"{node.op} reads {name}, which nothing before it makes"
            for tensor in node.outputs:
                if tensor.name in made:
                    yield f"{node.op} makes {tensor.name} again"
                if tensor.dtype not in DTYPES:
                    yield f"{node.op} makes {tensor.name} of dtype {tensor.dtype}"
                if any(side < 0 for side in tensor.shape):
                    yield f"{node.op} makes {tensor.name} of shape {tensor.shape}"
                made.add(tensor.name)
        for public, name in self.outputs.items():
            if name not in made:
                yield f"output {public} is {name}, which nothing makes"
