"""Names of inputs and outputs as a package takes them: any public name gets one, and the package keeps both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

METADATA, UNSIGNED = "public_names", "unsigned_outputs"
"""Keys of a package's own metadata: package name → public name, and public names whose int32 is a uint32; as JSON."""
RESERVED = {
    *("any", "bool", "program", "func", "tensor", "list", "dict", "tuple", "true", "false", "string", "state"),
    *("bf16", "fp16", "fp32", "fp64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}
"""Words of MIL's own text form."""


def legal_names(public: Iterable[str]) -> dict[str, str]:
    """Public name → a name of letters, digits and _ that no other has and that isn't reserved; most are the same."""
    wanted = list(dict.fromkeys(public))
    fitting = {name for name in wanted if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name not in RESERVED}
    taken, found = set(fitting), {}
    for name in wanted:
        base = own = name
        if name not in fitting:
            base = re.sub(r"[^A-Za-z0-9_]", "_", name)
            base = own = base if re.match("[A-Za-z_]", base) and base not in RESERVED else f"_{base}"
            count = 0
            while own in taken:
                count += 1
                own = f"{base}_{count}"
            taken.add(own)
        found[name] = own
    return found


def as_metadata(names: Mapping[str, str], unsigned: Iterable[str] = ()) -> dict[str, str]:
    """What a package's metadata says of public name → package name, where they differ, and of unsigned outputs."""
    other = {own: name for name, own in names.items() if own != name}
    told = {METADATA: other, UNSIGNED: sorted(unsigned)}
    return {key: json.dumps(value, ensure_ascii=False, sort_keys=True) for key, value in told.items() if value}


def from_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Package name → public name, of those that differ; and the public names of unsigned outputs.

    Raises:
        ValueError: the metadata are damaged.
    """
    names, unsigned = _decoded(metadata, METADATA, {}), _decoded(metadata, UNSIGNED, [])
    return names, frozenset(unsigned)


def _decoded(metadata: Mapping[str, str], key: str, default: Any) -> Any:
    text = metadata.get(key)
    if text is None:
        return default
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    held = found.values() if isinstance(found, dict) else found or ()
    if type(found) is not type(default) or not all(isinstance(name, str) for name in held):
        raise ValueError(f"metadata {key} is {text[:80]!r}; expected JSON of names such as {json.dumps(default)}")
    return found
