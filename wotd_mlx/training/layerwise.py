"""A training step that goes through a model block by block, for models whose gradients don't fit in memory.

The forward pass keeps the input of each block and nothing from inside it. The backward pass goes from the last block to
the first: it computes the block again, takes its gradients, applies them at once and frees them, as LOMO does (Lv et
al., arXiv 2306.09782). The peak is the weights, one block's gradients and weights in fp32, and the blocks' inputs.

Departures from an ordinary step:
    - Gradients are clipped by the norm of each block. The norm of all of them is known only after the backward pass,
      when the first are applied already; the paper runs a second pass for it.
    - Weights in bf16 are computed with in fp32, a block at a time, and updated in fp32. The way back is rounded
      stochastically: an update is often less than half a step of bf16 (2⁻⁸ of the weight), and rounding to the nearest
      would lose it each time; rounded up with a chance of the missing share, none is lost on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.optimizers import Optimizer
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from wotd_mlx.schemas import WotdError
from wotd_mlx.training.step import Read
from wotd_mlx.training.task import Parts

Loss = Callable[[mx.array, Any], Any]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The chain of blocks a model says it is, ``model.blocks()``: called in turn as (h, state), they are the model.

    Raises:
        WotdError: the model offers no blocks, or they don't hold each of its weights exactly once.
    """
    if not hasattr(model, "blocks"):
        raise WotdError(
            f"{type(model).__module__} offers no blocks(); expected a list of modules (h, state) -> (h, state)"
        )
    blocks: list[nn.Module] = list(model.blocks())
    wanted = {id(weight): name for name, weight in _leaves(model.trainable_parameters())}
    held = [id(weight) for block in blocks for _, weight in _leaves(block.trainable_parameters())]
    if lost := sorted(wanted[i] for i in wanted.keys() - set(held)):
        raise WotdError(f"{type(model).__module__}: {', '.join(lost)} in none of its {len(blocks)} blocks")
    if len(held) != len(set(held)):
        raise WotdError(f"{type(model).__module__}: a weight stands in two of its {len(blocks)} blocks")
    return blocks


def materialise(model: nn.Module, dtype: mx.Dtype) -> None:
    """Compute a new model's weights one by one in the given type; they never stand in fp32 all together.

    What is frozen, such as a normaliser, keeps its type.
    """
    names = [name for name, _ in _leaves(model.trainable_parameters())]
    for name in names:
        # Looked up one at a time: a list of them would keep each in fp32 once it is computed.
        weight = dict(_leaves(model.trainable_parameters()))[name].astype(dtype)
        mx.eval(weight)
        model.update(tree_unflatten([(name, weight)]))
    mx.eval(model.parameters())


def round_to_bfloat16(x: mx.array, key: mx.array) -> mx.array:
    """x fp32 -> bf16, up or down by chance, so that the mean is x; what bf16 can hold stays as it is."""
    bits = mx.view(x, mx.uint32)
    # Adding a number below 2¹⁶ carries into the kept half with the chance that the lost half stands for.
    chance = mx.random.randint(0, 1 << 16, x.shape, dtype=mx.uint32, key=key)
    return mx.view(((bits + chance) >> 16).astype(mx.uint16), mx.bfloat16)


WORK_BYTES = 12
"""Of a weight of the block at work: itself and its gradient in fp32, and about half as much again for the update."""


def size_of(block: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.size for _, weight in _leaves(block.trainable_parameters()))


class Layerwise:
    """Steps on one block after another.

    Args:
        model: a chain of blocks.
        optimizer: makes one optimizer; each block gets its own. Adafactor (arXiv 1804.04235) keeps a row and a column
            of second moments for each matrix, where Adam keeps two numbers for each weight.
        loss: (predictions (B, L, D), target) -> a number, or several, the first of which is brought down.
        clip: the largest norm of a block's gradient; None leaves it.
        seed: of the stochastic rounding, which depends on it and on the steps taken alone.

    Raises:
        WotdError: the model is no chain of blocks.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[], Optimizer],
        loss: Loss = lambda y, target: mx.square(y - target).mean(),
        clip: float | None = 1.0,
        seed: int = 0,
    ) -> None:
        self.model, self.blocks = model, blocks_of(model)
        self.optimizers = [optimizer() for _ in self.blocks]
        self.loss, self.clip, self.seed = loss, clip, seed
        for block, one in zip(self.blocks, self.optimizers, strict=True):
            one.init(tree_map(_to_fp32, block.trainable_parameters()))

    def take(self, parts: Parts, rate: float, number: int) -> list[float]:
        """One update of each block on a batch in one part, (x (B, L, D), target): what the loss gave, and the norm of
        the blocks' gradients together."""
        ((x, target),) = parts
        for optimizer in self.optimizers:
            optimizer.learning_rate = mx.array(rate)
        figures, norms = self.step(x, target, number)
        return [*figures, math.hypot(*norms)]

    def step(self, x: mx.array, target: Any, number: int = 0) -> tuple[list[float], list[float]]:
        """Train on x (B, L, D) and the loss's target; one update of each block.

        Returns:
            What the loss gave, and the gradient's norm in each block before it was clipped.

        Raises:
            WotdError: the loss is no number; no weight has changed.
        """
        # A high word above 0 keeps these keys apart from dropout's, whose seeds are 32 bits long.
        self._key = mx.random.key((1 + self.seed % (2**32 - 1)) << 32 | number)
        inputs, states, h = [], [], x
        for block in self.blocks:
            inputs.append(h)
            states.append(_random_state())
            h = block(h)[0]
            mx.eval(h)
        after = _random_state()
        found, gradient = mx.value_and_grad(self.loss)(h, target)
        figures = [_number(figure) for figure in (found if isinstance(found, tuple) else (found,))]
        mx.eval(gradient)
        if not math.isfinite(figures[0]):
            raise WotdError(
                f"the loss is {figures[0]}; no weight was changed. Lower the learning rate, or see the data"
            )

        norms = []
        for block, optimizer in zip(reversed(self.blocks), reversed(self.optimizers), strict=True):
            # Dropout draws what it drew on the way forward.
            _set_random_state(states.pop())
            gradient, norm = self._train(block, optimizer, inputs.pop(), gradient)
            norms.append(norm)
        _set_random_state(after)
        return figures, norms[::-1]

    @property
    def kept(self) -> Any:
        """The model's weights as they are: there is no room for others."""
        return self.model.trainable_parameters()

    def showing_kept(self) -> AbstractContextManager[None]:
        """The model has them in it already."""
        return nullcontext()

    def held(self) -> dict[str, Any]:
        """Weights and the optimizers' states."""
        return {"parameters": self.kept, "optimizer": [one.state for one in self.optimizers]}

    def restore(self, read: Read) -> None:
        """Take back what :meth:`held` gave."""
        self.model.update(read(self.kept, "parameters"))
        for n, one in enumerate(self.optimizers):
            one.state.update(read(one.state, f"optimizer.{n}"))

    def at_work(self, x: mx.array) -> int:
        """Bytes at the peak of a step on x (B, L, D), which changes nothing: the largest block's is computed alone."""
        inputs, h = [], x
        for block in self.blocks:
            inputs.append(h)
            h = block(h)[0]
            mx.eval(h)
        sizes = [size_of(block) for block in self.blocks]
        n = sizes.index(max(sizes))
        gradient = [*inputs, h][n + 1]
        mx.clear_cache()
        mx.reset_peak_memory()
        held = mx.get_active_memory()
        _backward(self.blocks[n], inputs[n], gradient)
        # The update has weights and gradients in fp32, and of one matrix after another the new weights.
        return max(mx.get_peak_memory(), held + WORK_BYTES * sizes[n])

    def _train(self, block: nn.Module, optimizer: Optimizer, h: mx.array, gradient: mx.array) -> tuple[mx.array, float]:
        """Apply a block's gradients; the gradient in its input, and the norm of those in its weights."""
        gradient, gradients = _backward(block, h, gradient)
        norm = _norm(gradients)
        if self.clip is not None and norm > self.clip:
            scale = self.clip / norm
            gradients = [(name, g * scale) for name, g in gradients]
        old = block.trainable_parameters()
        new = _leaves(optimizer.apply_gradients(tree_unflatten(gradients), tree_map(_to_fp32, old)))
        types = {name: weight.dtype for name, weight in _leaves(old)}
        del old, gradients
        # One weight after another, each freeing its gradient: all at once they would need the room of a block again.
        while new:
            name, weight = new.pop()
            if types[name] == mx.bfloat16:
                self._key, key = mx.random.split(self._key)
                weight = round_to_bfloat16(weight, key)
            else:
                weight = weight.astype(types[name])
            mx.eval(weight)
            block.update(tree_unflatten([(name, weight)]))
        mx.eval(optimizer.state)
        return gradient, norm


def _backward(block: nn.Module, h: mx.array, gradient: mx.array) -> tuple[mx.array, list[tuple[str, mx.array]]]:
    """Gradients in a block's input and, named and in fp32, in its weights."""
    kept = block.trainable_parameters()
    names = [name for name, _ in _leaves(kept)]

    def forward(h: mx.array, *weights: mx.array) -> mx.array:
        block.update(tree_unflatten(list(zip(names, weights, strict=True))))
        y: mx.array = block(h)[0]
        return y

    weights = [_to_fp32(weight) for _, weight in _leaves(kept)]
    _, (in_h, *in_weights) = mx.vjp(forward, [h, *weights], [gradient])
    block.update(kept)
    mx.eval(in_h, in_weights)
    return in_h, list(zip(names, in_weights, strict=True))


def _norm(gradients: list[tuple[str, mx.array]]) -> float:
    """Of all together; one after another, for the product of vectors, much faster than a sum of squares, may copy."""
    return math.sqrt(sum(_number(mx.inner(g.reshape(-1), g.reshape(-1))) for _, g in gradients))


def _to_fp32(weight: mx.array) -> mx.array:
    return weight.astype(mx.float32)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves = tree_flatten(tree)
    assert isinstance(leaves, list)
    return leaves


def _number(x: mx.array) -> float:
    return float(np.asarray(x))


def _random_state() -> int:
    """The state of MLX's generator as the seed that gives it back."""
    state: Any = mx.random.state
    high, low = state[0].tolist()
    return int(high) << 32 | int(low)


def _set_random_state(state: int) -> None:
    mx.random.seed(state)
