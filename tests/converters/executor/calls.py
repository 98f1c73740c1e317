"""Call an executor's operation by its MIL name, and hold what it foretells of its size to what it makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.coreml.executor import OPS, Value
from converters.coreml.executor.registry import Node

IOS16, IOS17 = 6, 7
# Foretold more than is made: parts are counted, not their numbers; indices are counted whether wanted or not.
ROUGH = {"split", "topk"}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def whole(low: int, high: int, *shape: int, seed: int = 0) -> np.ndarray:
    """int32, low <= n < high."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int32)


def call(name: str, /, opset: int = IOS17, result: str = "fp32", **given: Any) -> Any:
    """What the operation makes, its first output declared as ``result``.

    What it foretells of it is asked with the shapes alone of all that it must not read.
    """
    entry = OPS[name]
    shapes = {k: v if k in entry.reads or not isinstance(v, np.ndarray) else np.zeros_like(v) for k, v in given.items()}
    foretold = entry.makes(**shapes) if entry.makes else None
    if entry.needs:
        assert entry.needs(**shapes) >= 0
    node = {"node": Node(name, "it", opset, (Value("y", result, None),))} if entry.wants_node else {}
    made = entry.function(**given, **node)
    count = sum(np.size(part) for part in (made if isinstance(made, tuple) else (made,)))
    assert foretold in (None, count) or name in ROUGH, f"{name} foretold {foretold} numbers and made {count}"
    return made


def needs(name: str, **given: Any) -> int:
    """How many numbers the operation says that it holds on the way."""
    entry = OPS[name]
    assert entry.needs is not None
    return entry.needs(**given)
