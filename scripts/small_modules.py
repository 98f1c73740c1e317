"""What the builders of third-party modules share: where their code is, weights that were shaken, small inputs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_map

from scripts.conversions import Made, UnbuiltError

SOURCES: dict[str, Path] = {}
"""Checkouts whose code is in no package: ``mlx-examples`` and ``mamba.py``."""
MODULES: dict[str, Callable[[], Made]] = {}
"""Builders by name; each imports what it builds."""


def module(name: str) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Enter a builder under a name."""

    def entered(build: Callable[[], Made]) -> Callable[[], Made]:
        if name in MODULES:
            raise ValueError(f"two builders are named {name!r}")
        MODULES[name] = build
        return build

    return entered


def load(name: str, source: str = "", folder: str = "") -> ModuleType:
    """A module of an installed package, or of a folder in a checkout, where many are named ``model``."""
    if source and source not in SOURCES:
        raise UnbuiltError(f"no checkout of {source} was given")
    if source:
        here = str(SOURCES[source] / folder)
        for other in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(tuple(_roots()))]:
            del sys.modules[other]
        sys.path[:] = [here, *(p for p in sys.path if not p.startswith(tuple(_roots())))]
    return import_module(name)


def _roots() -> list[str]:
    return [str(path) for path in SOURCES.values()]


def examples(folder: str, name: str) -> ModuleType:
    """A module of mlx-examples."""
    return load(name, "mlx-examples", folder)


def shaken(parameter: mx.array) -> mx.array:
    """Off what an initialiser sets all alike, so that no parameter goes unseen."""
    if not mx.issubdtype(parameter.dtype, mx.floating):
        return parameter
    noise: mx.array = mx.random.normal(parameter.shape, dtype=mx.float32)
    moved: mx.array = parameter + (0.05 * noise).astype(parameter.dtype)
    return moved


def settled(model: nn.Module) -> nn.Module:
    """In inference, its weights shaken and evaluated."""
    model.update(tree_map(shaken, model.parameters()))
    model.eval()
    mx.eval(model.parameters())
    return model


def made(model: nn.Module, call: Callable[..., Any] | None = None, **inputs: mx.array) -> Made:
    """A module, or what ``call`` does with it, on inputs by name."""
    settled(model)
    return call or model, inputs


def numbers(*shape: int) -> mx.array:
    """Normal, float32, always the same."""
    drawn: mx.array = mx.random.normal(shape, key=mx.random.key(1))
    return drawn


def tokens(length: int, vocab: int) -> mx.array:
    """(1, length) int32."""
    return mx.array([[(7 * n + 3) % vocab for n in range(length)]], dtype=mx.int32)
