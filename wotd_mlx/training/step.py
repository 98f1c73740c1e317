"""One update of all weights: gradients over micro-batches, clipped, an optimizer's step, a running average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_map

from wotd_mlx.training.task import Parts, Task

Read = Callable[[Any, str], Any]
"""``read(tree, name)`` is a tree like ``tree`` with the arrays that were saved under ``name``."""


class Step:
    r"""Steps on all weights together; the masters stay in float32.

    Args:
        clip: largest norm of the gradient.
        ema: decay :math:`\beta` of the averaged weights :math:`\bar w \gets \beta \bar w + (1 - \beta) w` that are
            evaluated and kept; 0 keeps the last ones.
        dtype: what the model computes in; None for the type of its weights.
        compiled: fuse a step with ``mx.compile``.
    """

    def __init__(
        self,
        task: Task[Any],
        optimizer: optim.Optimizer,
        *,
        clip: float = math.inf,
        ema: float = 0.0,
        dtype: mx.Dtype | None = None,
        compiled: bool = True,
    ):
        self.task, self.optimizer, self.clip, self.ema, self.dtype = task, optimizer, clip, ema, dtype
        self.compiled = compiled
        self.parameters = task.model.trainable_parameters()
        optimizer.init(self.parameters)
        self.averaged = tree_map(mx.array, self.parameters) if ema else None
        self._apply: Callable[..., Any] = self._apply_gradients
        if compiled:
            inner = [optimizer.state]
            self._apply = partial(mx.compile, inputs=inner, outputs=inner)(self._apply)
        self.trace()

    def trace(self) -> None:
        """Compile the gradients anew: after a change in how the task computes its loss."""
        self._gradients: Callable[..., Any] = mx.value_and_grad(self._loss)
        if self.compiled:
            # Dropout draws from the global random state, which each step seeds anew.
            random, moving = [mx.random.state], [self.task.moving.state] if self.task.moving else []
            self._gradients = partial(mx.compile, inputs=random + moving, outputs=random)(self._gradients)

    def take(self, parts: Parts, rate: float, number: int) -> list[float]:
        """One step of the optimizer: the task's figures, and the gradient's norm before it was clipped."""
        figures, found, gradients = self.gradients(parts)
        self.optimizer.learning_rate = mx.array(rate)
        self.parameters, self.averaged, norm = self._apply(self.parameters, gradients, self.averaged)
        mx.eval(self.parameters, self.averaged, self.optimizer.state, norm)
        self.task.model.update(self.parameters)
        for each in found:
            self.task.stepped(*each)
        return [*figures, float(norm)]

    def gradients(self, parts: Parts) -> tuple[list[float], list[tuple[Any, ...]], Any]:
        """A step's figures, what :meth:`Task.stepped` is given of each micro-batch, and gradients."""
        count = len(self.task.figures)
        figures, found, gradients = [0.0] * count, [], None
        with self.task.computing():
            for args in parts:
                values, more = self._gradients(self.parameters, *args)
                gradients = more if gradients is None else tree_map(mx.add, gradients, more)
                # Evaluated one by one, or the activations of all micro-batches would be held together.
                mx.eval(values, gradients)
                figures = [a + float(b) for a, b in zip(figures, values[:count], strict=True)]
                found.append(values[count:])
        # Tracing left its own placeholders in the model.
        self.task.model.update(self.parameters)
        return figures, found, gradients

    @property
    def kept(self) -> Any:
        """The weights that are evaluated and saved: the averaged ones where there are such."""
        return self.parameters if self.averaged is None else self.averaged

    @contextmanager
    def showing_kept(self) -> Iterator[None]:
        """The model has the weights in it that are kept, and afterwards those that are trained."""
        self.task.model.update(self.kept)
        yield
        self.task.model.update(self.parameters)

    def held(self) -> dict[str, Any]:
        """Weights, averaged weights and the optimizer's state."""
        return {"parameters": self.parameters, "optimizer": self.optimizer.state, "averaged": self.averaged or {}}

    def restore(self, read: Read) -> None:
        """Take back what :meth:`held` gave."""
        self.parameters = read(self.parameters, "parameters")
        self.averaged = None if self.averaged is None else read(self.averaged, "averaged")
        # In place: the compiled update holds on to this very dict.
        self.optimizer.state.update(read(self.optimizer.state, "optimizer"))
        self.task.model.update(self.parameters)

    def _loss(self, parameters: Any, *args: Any) -> tuple[mx.array, ...]:
        dtype = self.dtype
        self.task.model.update(tree_map(lambda weight: weight.astype(dtype), parameters) if dtype else parameters)
        return self.task.loss(*args)

    def _apply_gradients(self, parameters: Any, gradients: Any, averaged: Any) -> tuple[Any, Any, mx.array]:
        gradients, norm = optim.clip_grad_norm(gradients, self.clip)
        parameters = self.optimizer.apply_gradients(gradients, parameters)
        if averaged is not None:
            averaged = tree_map(lambda kept, new: self.ema * kept + (1 - self.ema) * new, averaged, parameters)
        return parameters, averaged, norm
