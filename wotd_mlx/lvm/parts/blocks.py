"""A predictor as a chain of blocks, each with the same call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import mlx.core as mx
from mlx import nn


class Block(Protocol):
    """A module called (h, state) -> (h, state); without a state it starts afresh."""

    def __call__(self, h: mx.array, state: Any = None) -> tuple[mx.array, Any]: ...


class Stage(nn.Module):
    """Modules of a model seen as one block without a state; they stay the model's own.

    Args:
        parts: the modules whose weights the block has.
        function: h -> h, by these modules.
    """

    def __init__(self, parts: Sequence[nn.Module], function: Callable[[mx.array], mx.array]) -> None:
        super().__init__()
        self.parts = list(parts)
        self.function = function

    def __call__(self, h: mx.array, state: Any = None) -> tuple[mx.array, Any]:
        return self.function(h), state
