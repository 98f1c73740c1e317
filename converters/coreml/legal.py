"""What Core ML's own compiler would refuse of a saved package, told on any system: ranks, sizes, names.

Limits are those of coremltools' documentation of each operation (its docstrings, version 9).
"""

from __future__ import annotations

from collections.abc import Iterator

from converters.coreml.executor.package import Package, Value
from converters.coreml.ops.linear import LINEAR_RANK
from converters.errors import ConversionError
from converters.graph import MAX_RANK
from converters.names import legal_names

RANKS = {"linear": ("x", LINEAR_RANK)}
"""Operations of whose operands Core ML's documentation limits the rank further."""
_SHOWN = 8


def check_legal(package: Package) -> Package:
    """Return a saved package, or raise where it has what Core ML doesn't take, with all faults.

    Raises:
        ConversionError: values of more than five axes or without numbers, operands of a rank that an operation doesn't
            take, names that MIL reserves.
    """
    faults = list(dict.fromkeys(_faults(package)))
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise ConversionError(f"no package that Core ML takes: {'; '.join(faults[:_SHOWN])}{more}")
    return package


def _faults(package: Package) -> Iterator[str]:
    for name, legal in legal_names(value.name for value in (*package.inputs, *package.outputs)).items():
        if legal != name:
            yield f"the name {name!r} is reserved or has other characters than letters, digits and _"
    for value in package.inputs:
        yield from _of_value(f"input {value.name}", value)
    ranks = {value.name: len(value.shape or ()) for value in package.inputs}
    for operation in package.operations:
        for value in operation.outputs:
            ranks[value.name] = len(value.shape or ())
            if operation.type != "const":
                yield from _of_value(f"{operation.type} {value.name}", value)
        if (limit := RANKS.get(operation.type)) is not None:
            key, most = limit
            for binding in operation.inputs.get(key, ()):
                if isinstance(binding, str) and ranks.get(binding, 0) > most:
                    yield f"{operation.type} {operation.outputs[0].name} reads rank {ranks[binding]}; it takes {most}"


def _of_value(what: str, value: Value) -> Iterator[str]:
    shape = value.shape or ()
    if len(shape) > MAX_RANK:
        yield f"{what} has rank {len(shape)}, shape {shape}; Core ML takes {MAX_RANK} at most"
    if 0 in shape:
        yield f"{what} has shape {shape}, without a number; Core ML takes no empty arrays"
