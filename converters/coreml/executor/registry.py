"""The table of MIL operations: one function each, found by the operation's name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from converters.coreml.executor.blob import STORAGE, Array
from converters.coreml.executor.package import Value


@dataclass(frozen=True)
class Kind:
    """What a parameter takes: NumPy's kinds of dtype, and whether one number, a list of values, or a true array."""

    told: str
    dtypes: str = "biuf"
    scalar: bool = False
    several: bool = False
    array: bool = False

    def fault(self, given: Any) -> str:
        """What is wrong with a constant, or with the type that a value is declared with; empty where nothing is."""
        if isinstance(given, Value):
            storage = STORAGE.get(given.dtype)
            dtype = "f" if given.dtype == "bf16" else storage.kind if storage else ""
            rank = None if given.shape is None else len(given.shape)
        else:
            dtype, rank = np.asarray(given).dtype.kind, np.ndim(given)
        if dtype in self.dtypes and not (self.scalar and rank):
            return ""
        got = given if isinstance(given, Value) or not rank else f"{np.asarray(given).dtype} {np.shape(given)}"
        return f"got {got!s:.60}, expected {self.told}"

    def made(self, constant: Any) -> Any:
        """A constant as the function takes it."""
        if not self.array or isinstance(constant, np.ndarray):
            return constant
        return np.asarray(constant, np.float32 if isinstance(constant, float) else None)


# What the functions' parameters are annotated with, beside int, float, bool, str and Array.
Numbers = Annotated[Any, Kind("a tensor or a number")]
Number = Annotated[Any, Kind("a number", scalar=True)]
Ints = Annotated[Any, Kind("whole numbers", "iu")]
Flags = Annotated[Any, Kind("truth values", "b")]
Several = Annotated[Any, Kind("tensors or numbers", several=True)]
_PLAIN: Mapping[Any, Kind] = {
    Array: Kind("a tensor", array=True),
    int: Kind("a whole number", "iu", scalar=True),
    float: Kind("a number", "iuf", scalar=True),
    bool: Kind("true or false", "b", scalar=True),
    str: Kind("a text", "U", scalar=True),
}


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
Count = Callable[..., int]


@dataclass(frozen=True)
class Entry:
    """A function of arrays, its parameters, and how much it makes of what it gets.

    ``makes`` and ``needs`` tell from the arguments, before anything is computed, how many numbers the results and any
    array on the way will hold, at most; of ``reads`` they look at the values, of all others at the shapes alone.
    """

    function: Function
    wants_node: bool
    kinds: Mapping[str, Kind]
    required: frozenset[str]
    makes: Count | None
    needs: Count | None
    reads: frozenset[str]


OPS: dict[str, Entry] = {}


def op(
    *names: str, node: bool = False, makes: Count | None = None, needs: Count | None = None, reads: str = ""
) -> Callable[[Function], Function]:
    """Register a function under MIL names.

    Its parameters carry MIL's names, and their annotations tell what they take. Float arrays arrive as fp32 whatever
    their declared dtype, constant scalars as Python numbers, ``Several`` as a tuple. The result, an array or a tuple of
    them, is rounded to the declared dtypes by the caller.

    Args:
        node: the function takes its :class:`Node` as ``node``.
        makes, needs, reads: see :class:`Entry`; for those that can make more than they get.
    """

    def register(function: Function) -> Function:
        for name in names:
            if name in OPS:
                owner = OPS[name].function
                raise ValueError(
                    f"MIL operation {name!r} is registered twice: "
                    f"{owner.__module__}.{owner.__name__} and {function.__module__}.{function.__name__}"
                )
            kinds, required = _parameters(function)
            OPS[name] = Entry(function, node, kinds, required, makes, needs, frozenset(reads.split()))
        return function

    return register


def _parameters(function: Function) -> tuple[Mapping[str, Kind], frozenset[str]]:
    """Each parameter's kind, by the annotation, and those that have no default."""
    hints = get_type_hints(function, include_extras=True)
    kinds: dict[str, Kind] = {}
    required = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "node":
            continue
        hint = hints[name]
        if get_origin(hint) in (Union, UnionType):
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        kinds[name] = hint.__metadata__[0] if get_origin(hint) is Annotated else _PLAIN[hint]
        if parameter.default is inspect.Parameter.empty:
            required.add(name)
    return MappingProxyType(kinds), frozenset(required)
