"""The table of MIL operations: one function each, found by the operation's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.coreml.executor.package import Value


@dataclass(frozen=True)
class Node:
    """What an operation may need to know of itself: its name, opset number and declared outputs."""

    type: str
    name: str
    opset: int
    outputs: tuple[Value, ...]

    @property
    def half(self) -> bool:
        """True where the first output is fp16."""
        return self.outputs[0].dtype == "fp16"


Function = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """A function of arrays, and whether it takes the node as ``node``."""

    function: Function
    wants_node: bool


OPS: dict[str, Entry] = {}


def op(*names: str, node: bool = False) -> Callable[[Function], Function]:
    """Register a function under MIL names.

    Its parameters carry MIL's names. Float arrays arrive as fp32 whatever their declared dtype, constant scalars as
    Python numbers. The result, an array or a tuple of them, is rounded to the declared dtypes by the caller.
    """

    def register(function: Function) -> Function:
        for name in names:
            if name in OPS:
                owner = OPS[name].function
                raise ValueError(
                    f"MIL operation {name!r} is registered twice: "
                    f"{owner.__module__}.{owner.__name__} and {function.__module__}.{function.__name__}"
                )
            OPS[name] = Entry(function, node)
        return function

    return register
