"""What the thirteen share: the way they are called, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.config.ranges import check
from wotd_mlx.dropout import drawn_from
from wotd_mlx.io.safetensors import named

State = Any
"""A model's memory of what it has read: arrays in lists, tuples or dicts. Never changed in place."""


@dataclass(frozen=True)
class About:
    """What ``wotd-mlx lvm list`` says of a model.

    Args:
        title: what the architecture is called, in a few words.
        reference: the paper's arXiv id, or where it was published.
        complexity: cost of reading L vectors, in the shape alphabet.
        step_memory: size of the state after L vectors: ``O(1)`` where the paper has a recurrent form, else ``O(L)``.
        published: parameters in the reference table (docs/explanation/lvm.md), without what embeddings don't need.
        note: what departs from the paper or that table, and why; empty where nothing does.
    """

    title: str
    reference: str
    complexity: str
    step_memory: str
    published: int
    note: str = ""


@dataclass(frozen=True)
class Config:
    """Base of the thirteen configs, whose fields declare their ranges."""

    def __post_init__(self) -> None:
        check(self, type(self).__module__.rpartition(".")[2])


class Predictor(nn.Module):
    """Base of the thirteen: vectors x (B, L, D) in, the vector expected after each one out.

    A call reads L vectors after what ``state`` has read and gives (B, L, D) and the state after them; without a state
    it starts afresh. Cutting a sequence anywhere and handing the state on changes nothing. One vector at a time takes
    the recurrent form of architectures that have one.
    """

    recomputing = False
    """Whether layers give up their activations in training; see :meth:`through`."""

    def __call__(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """x (B, L, D) -> predictions (B, L, D) and the state; position t sees x[:, : t + 1] alone."""
        raise NotImplementedError

    def through(self, layer: nn.Module, *inputs: Any) -> Any:
        """``layer(*inputs)``; in training computed again on the way back where ``recomputing`` is set.

        Activations inside a layer are then not kept: memory for time (Chen et al. 2016, arXiv 1604.06174). Both times
        dropout drops the same numbers.
        """
        if not (self.recomputing and self.training):
            return layer(*inputs)

        key = mx.random.randint(0, 2**31 - 1, (2,)).astype(mx.uint32)

        def call(weights: Any, *inputs: Any) -> Any:
            layer.update(weights)
            with drawn_from(key):
                return layer(*inputs)

        return mx.checkpoint(call)(layer.trainable_parameters(), *inputs)

    def through_layers(self, h: mx.array, state: Sequence[Any] | None, *inputs: Any) -> tuple[mx.array, list[Any]]:
        """h through ``self.layers`` in turn, each called (h, its state, *inputs); their states after it in a list."""
        after = []
        for layer, before in zip(self.layers, state or [None] * len(self.layers), strict=True):
            h, known = self.through(layer, h, before, *inputs)
            after.append(known)
        return h, after

    def step(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """x (B, D) -> (B, D): read one vector."""
        y, state = self(x[:, None], state)
        return y[:, 0], state

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(weight.size for weight in named(self.parameters()).values())
