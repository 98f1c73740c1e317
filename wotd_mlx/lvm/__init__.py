"""Thirteen predictors of the next embedding, one file each: the file's name is the model's key.

Each file has a frozen ``Config``, its two ``PRESETS``, an ``ABOUT`` and the ``Predictor``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wotd_mlx.schemas import WotdError

if TYPE_CHECKING:
    from wotd_mlx.lvm.parts.base import Predictor

NAMES = (
    "lstm",
    "gru",
    "transformer",
    "distilgpt2",
    "performer",
    "linformer",
    "s4",
    "hyena",
    "retnet",
    "mamba2",
    "hybrid",
    "rwkv",
    "lcm",
)
"""In the order of their paper sizes."""


def architecture(name: str) -> ModuleType:
    """The module of a model.

    Raises:
        WotdError: no such model; the known ones are listed.
    """
    if name not in NAMES:
        raise WotdError(f"unknown model {name!r}; expected one of {', '.join(NAMES)}")
    return import_module(f"wotd_mlx.lvm.{name}")


def preset(name: str, size: str, **changes: Any) -> Any:
    """The config of a model at a preset size, some of its fields changed, such as ``dims=384``.

    Raises:
        WotdError: no such model, preset or field.
    """
    from dataclasses import fields, replace

    presets = architecture(name).PRESETS
    if size not in presets:
        raise WotdError(f"unknown preset {size!r}; expected one of {', '.join(presets)}")
    if unknown := sorted(changes.keys() - {f.name for f in fields(presets[size])}):
        raise WotdError(f"{name} has no setting {', '.join(unknown)}")
    return replace(presets[size], **changes)


def build(name: str, config: Any) -> Predictor:
    """A model of the given config, with random weights."""
    model: Predictor = architecture(name).Predictor(config)
    return model
