"""Names of inputs and outputs as Core ML takes them: any public name gets one, and the package keeps both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

METADATA = "public_names"
"""The key of a package's own metadata under which package name → public name stands, as JSON."""
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


def as_metadata(names: Mapping[str, str]) -> dict[str, str]:
    """What a package's metadata says of public name → package name; nothing where all are the same."""
    other = {own: name for name, own in names.items() if own != name}
    return {METADATA: json.dumps(other, ensure_ascii=False, sort_keys=True)} if other else {}


def from_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Package name → public name, of those that differ.

    Raises:
        ValueError: the metadata are damaged.
    """
    text = metadata.get(METADATA)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{METADATA} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ValueError(f"{METADATA} is {text[:80]!r}; expected an object of names")
    return found
