"""Settings out of YAML and JSON; an unknown key is an error: a misspelt setting must not train something else."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from wotd_mlx.schemas import WotdError

T = TypeVar("T")


def from_dict(cls: type[T], raw: Any, where: str = "config") -> T:
    """Build a config dataclass from parsed YAML or JSON.

    Raises:
        WotdError: an unknown key, a value of another type, or one that the config itself refuses.
    """
    if not isinstance(raw, Mapping):
        raise WotdError(f"{where}: got {type(raw).__name__}, expected keys and values")
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # only ever called with dataclasses
    if unknown := sorted(str(key) for key in raw if key not in known):
        raise WotdError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(known)}")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in raw.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return from_dict(typing.cast(type[Any], kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise WotdError(f"{where}: got {value!r}, expected a list")
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin is types.UnionType:
        return None if value is None else _convert(arguments[0], value, where)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise WotdError(f"{where}: got {value!r}, expected {kind.__name__}")
    return kind(value)


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file as a plain mapping, for :func:`from_dict`."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WotdError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise WotdError(f"{path} holds {type(raw).__name__}; expected keys and values")
    return raw
