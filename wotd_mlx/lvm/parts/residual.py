"""Six weights of what was read, which predict by themselves, and how a predictor adds to them or steers them."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx import nn

from wotd_mlx.lvm.parts.base import Predictor, State

NEWEST = 5
"""Vectors that have a weight of their own."""


class Scalars(nn.Module):
    r"""Six numbers that predict: one for each of the five newest vectors, one for the mean of all that was read.

    .. math:: \hat x_{t+1} = \sum_{k<5} w_k x_{t-k} + w_5 \frac{1}{t+1} \sum_{s \le t} x_s

    Shape:
        x (B, L, D) -> (B, L, D); state: the newest four vectors (B, 4, D), the sum (B, D) and how many were read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights = mx.array([1.0] + [0.0] * NEWEST)

    def __call__(
        self, x: mx.array, state: State | None = None, gates: mx.array | None = None
    ) -> tuple[mx.array, State]:
        """x (B, L, D) -> predictions (B, L, D) and the state; gates (B, L, 6) change weights to w (1 + gate)."""
        B, L, D = x.shape
        weights = self.weights if gates is None else self.weights * (1 + gates)
        if state is None:
            # Sum and count in float32: in bfloat16 no count would pass 256.
            state = mx.zeros((B, NEWEST - 1, D), x.dtype), mx.zeros((B, D)), mx.array(0.0)
        newest, total, read = state
        known = mx.concatenate([newest, x], axis=1)
        sums = total[:, None] + mx.cumsum(x.astype(mx.float32), axis=1)
        y = weights[..., NEWEST:] * sums / (read + mx.arange(1, L + 1))[:, None]
        for k in range(NEWEST):
            start = NEWEST - 1 - k
            y = y + weights[..., k : k + 1] * known[:, start : start + L]
        return y, (known[:, L:], sums[:, -1], read + L)


class NextVector(nn.Module):
    r"""What is trained, saved and exported: a predictor between fixed scales, alone or over :class:`Scalars`.

    .. math::
        \hat x_{t+1} &= f(\sqrt D\, x_{\le t}) / \sqrt D & \text{(none)} \\
        \hat x_{t+1} &= s(x_{\le t}) + f(\sqrt D\, x_{\le t}) / \sqrt D & \text{(added)} \\
        \hat x_{t+1} &= s(x_{\le t};\; w (1 + G f(\sqrt D\, x_{\le t}))) & \text{(gates)}

    A unit vector's numbers have a deviation of :math:`D^{-1/2}`: the predictor f reads and writes numbers of
    deviation 1. Gates let it choose, sentence by sentence, how much of what it read comes back: six numbers instead of
    D, so that tens of thousands of sentences suffice.

    Args:
        predictor: any of the thirteen.
        base: ``none``, ``added`` or ``gates``, as above. The scalars aren't trained with f, and what f does begins as
            zero, so that training begins at what the scalars reach.
        context_dropout: share of whole vectors that f doesn't see in training.
        noise: deviation of what is added to the numbers that f reads in training.

    Shape:
        x (B, L, D) -> (B, L, D) and the state, as in :class:`~wotd_mlx.lvm.parts.base.Predictor`.
    """

    def __init__(self, predictor: Predictor, base: str = "none", context_dropout: float = 0.0, noise: float = 0.0):
        super().__init__()
        self.predictor = predictor
        self.scale = predictor.embed.weight.shape[1] ** 0.5
        self.context_dropout, self.noise = context_dropout, noise
        if base == "none":
            return
        self.scalars = Scalars()
        self.scalars.freeze()
        last: Any = predictor.head
        if base == "gates":
            last = self.gates = nn.Linear(predictor.embed.weight.shape[1], NEWEST + 1)
        last.update({name: mx.zeros_like(weight) for name, weight in last.parameters().items()})

    def __call__(self, x: mx.array, state: State | None = None) -> tuple[mx.array, State]:
        """x (B, L, D) -> predictions (B, L, D) and the state after them."""
        of_scalars, inner = state if state is not None else (None, None)
        seen = x * self.scale
        if self.training and self.context_dropout:
            seen = seen * mx.random.bernoulli(1 - self.context_dropout, (*x.shape[:2], 1))
        if self.training and self.noise:
            seen = seen + self.noise * mx.random.normal(seen.shape, seen.dtype)
        y, inner = self.predictor(seen, inner)
        if "gates" in self:
            y, of_scalars = self.scalars(x, of_scalars, self.gates(y))
        elif "scalars" in self:
            base, of_scalars = self.scalars(x, of_scalars)
            y = base + y / self.scale
        else:
            y = y / self.scale
        return y, (of_scalars, inner)
