"""What all quantisers share: one interface."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.schemas import Codes


class Quantizer(nn.Module, ABC):
    """Latents (B, W) to Q small integers each, and back.

    ``quantizer(z) -> Codes(quantized, ids, loss)``; :meth:`ids_to_codes` and :meth:`codes_to_ids` are the two halves.
    """

    levels: tuple[int, ...]
    width: int
    # True where each coordinate of the latents is one number of its own, squeezed into [-1, 1].
    scalar = False
    # True where the vectors themselves are quantised, not latents of theirs, and no number of an ID means an attribute.
    whole = False
    # True where the codes learn by gradient, together with an encoder and a decoder; False where they are computed.
    learns = True

    @property
    def bits(self) -> float:
        """log2 of the number of different IDs."""
        return math.log2(math.prod(self.levels))

    @abstractmethod
    def forward_levels(self, z: mx.array, values: mx.array | None = None) -> tuple[Codes, list[mx.array]]:
        """z (B, W) -> its codes, and what each coordinate q alone carries, (B, W_q), differentiable in z; ``values`` as
        in :meth:`codes_to_ids`."""

    def __call__(self, z: mx.array, values: mx.array | None = None) -> Codes:
        return self.forward_levels(z, values)[0]

    @abstractmethod
    def ids_to_codes(self, ids: mx.array) -> mx.array:
        """ids (B, Q) -> quantized (B, W)."""

    @abstractmethod
    def codes_to_ids(self, vectors: mx.array, values: mx.array | None = None, *, exact: bool = False) -> mx.array:
        """vectors (B, W) -> ids (B, Q) int32 of the code that the quantiser gives them.

        Args:
            values: (B, A), V_a for none: where codes are :attr:`laid_out`, the nearest that claims no other.
            exact: it reads as all of these values.
        """

    def candidates(self, z: mx.array, ids: mx.array) -> mx.array:
        """Other IDs (B, C, Q) that may stand for z (B, W) with ids (B, Q): here each with one number changed."""
        changes = [(q, step) for q, k in enumerate(self.levels) for step in range(1, k)]
        steps = np.zeros((len(changes), len(self.levels)), np.int32)
        for row, (q, step) in enumerate(changes):
            steps[row, q] = step
        return (ids[:, None] + mx.array(steps)) % mx.array(self.levels, mx.int32)

    def start(self, z: NDArray[np.float32], seed: int, progress: Callable[[int], None] = lambda n: None) -> None:
        """Prepare for latents such as z (N, W) before training; nothing to do where nothing is learnt."""

    def stages(self, rows: int) -> int:
        """How often :meth:`start` and :meth:`enter` together call ``progress`` with 1 for so many training words."""
        return 0

    def learn(self, z: mx.array, ids: mx.array) -> None:
        """Move the codebooks towards z (B, W) with its ids (B, Q); part of the (compiled) training step."""

    def restart_dead_codes(self, z: NDArray[np.float32], seed: int) -> int:
        """Give codes that are no longer used new values among z (N, W); return how many."""
        return 0

    def component_scales(self, variances: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each principal component is multiplied with at the start, from the components' variances (W,)."""
        # Squeezed scalars start at unit variance; codebooks compare distances, so variances stay.
        return 1 / np.sqrt(np.maximum(variances, 1e-12)) if self.scalar else np.ones(len(variances))

    def enter(
        self,
        z: NDArray[np.float32],
        labels: NDArray[np.int64],
        seed: int,
        progress: Callable[[int], None] = lambda n: None,
    ) -> NDArray[np.int64]:
        """The IDs (N, Q) of all known words, with latents z (N, W) and labels (N, A), −1 where there is no evidence.

        Where codes are laid out by labels, each of these words becomes one of the codes, and its ID says its labels.
        """
        return np.asarray(self(mx.array(z)).ids, np.int64)

    @property
    def laid_out(self) -> bool:
        """Whether the codes of a coordinate are laid out by its attribute's values, so that an ID can be asked for."""
        return False

    def code_values(self) -> list[NDArray[np.int64]]:
        """For each attribute a, the value (K,) that each code of its coordinate reads as, V_a for none; empty where
        codes are not laid out by values."""
        return []

    def resize(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make room for parameters of these shapes, where training chose them."""

    def prepare(self) -> None:
        """Compute what use needs beside the parameters; called when those have changed."""

    def left_over(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the codes leave of the training latents z (N, W), as they would of other words' latents."""
        left: NDArray[np.float32] = z - np.asarray(self(mx.array(z)).quantized)
        return left
