"""What codes that learn by gradient are trained on: embeddings, and the labels that their coordinates shall tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from wotd_mlx.arrays import Embeddings, Indices
from wotd_mlx.codes.autoencoder import Autoencoder
from wotd_mlx.codes.labels import balanced_weights, label_loss
from wotd_mlx.codes.metrics import usage_and_perplexity
from wotd_mlx.codes.split import Split
from wotd_mlx.config import CodesConfig
from wotd_mlx.config.ranges import Count, Natural, Weight
from wotd_mlx.training.rows import RowsTask
from wotd_mlx.training.state import Real, TrainState


@dataclass(frozen=True)
class Epoch:
    """One line of ``history.json``."""

    epoch: Count
    loss: Real
    valid_loss: Real
    relative_mse: Real
    learning_rate: Weight
    usage: list[Real]
    perplexity: list[Real]
    revived: Natural


@dataclass
class CodesState(TrainState):
    """How far the training of codes has come."""

    history: list[Epoch] = field(default_factory=list)


class CodesTask(RowsTask[CodesState]):
    r"""Trains an autoencoder around a quantiser on x (N, D) with labels (N, A), −1 where unknown.

    .. math:: \lVert x - \hat x \rVert^2 / \lVert x - \mu \rVert^2 + w \sum_q \mathrm{CE}_q + c \, \text{commitment}

    CE_q is the balanced cross-entropy of attribute q read from coordinate q alone. In validation error rates stand for
    cross-entropies, which rise with a growing sureness that loses no label, and the commitment, which follows the
    latents' scale, is left out.
    """

    keeps_best = True
    model: Autoencoder
    cfg: CodesConfig

    def __init__(
        self, model: Autoencoder, x: Embeddings, labels: Indices, split: Split, cfg: CodesConfig, seed: int
    ) -> None:
        data, self.valid = (
            (mx.array(x[rows]), mx.array(np.maximum(labels[rows], 0)), mx.array(balanced_weights(labels[rows])))
            for rows in (split.train, split.valid)
        )
        super().__init__(model, data, cfg, seed)
        self.moving, self.patience = model.quantizer, cfg.patience
        self.variance = variance(model, x[split.train])
        self._learn: Callable[..., Any] = self.moving.learn
        if cfg.compile:
            state = [self.moving.state]
            self._learn = partial(mx.compile, inputs=state, outputs=state)(self._learn)

    def loss(self, x: mx.array, labels: mx.array, weights: mx.array) -> tuple[mx.array, ...]:
        """The loss; and for the codebooks the latents z (B, W) and their ids (B, Q)."""
        decoded, codes, logits, z = self.model(x)
        total = self._relative_error(x, decoded) + self.cfg.commitment * codes.loss / z.shape[1]
        return total + self.cfg.label_weight * label_loss(logits, labels, weights), z, codes.ids

    def stepped(self, *found: Any) -> None:
        """Codebooks follow the latents that chose them."""
        self._learn(*found)
        mx.eval(self.model.quantizer.parameters())

    def evaluate(self) -> list[float]:
        """The validation loss, and the relative error within it."""
        x, labels, weights = self.valid
        decoded, _, logits, _ = self.model(x)
        error = float(self._relative_error(x, decoded))
        wrong = [((logit.argmax(axis=1) != labels[:, a]) * weights[:, a]).sum() for a, logit in enumerate(logits)]
        rates = [float(w / mx.maximum(weights[:, a].sum(), 1)) for a, w in enumerate(wrong)]
        return [error + self.cfg.label_weight * sum(rates), error]

    def record(self, state: CodesState, valid: list[float], rate: float, best: bool) -> Epoch:
        """The epoch's line of the history; codes that died are put elsewhere for the next."""
        z, number = self.model.latents(self.data[0]), state.epoch - 1
        usage, perplexity = usage_and_perplexity(np.asarray(self.model.quantizer(z).ids), self.cfg.levels)
        restarted = self.model.quantizer.restart_dead_codes(np.asarray(z), self.seed + number)
        return Epoch(number, state.means[0], valid[0], valid[1], rate, usage, perplexity, restarted)

    def _relative_error(self, x: mx.array, decoded: mx.array) -> mx.array:
        return ((x - decoded) ** 2).sum(axis=1).mean() / self.variance


def variance(model: Autoencoder, x: Embeddings) -> float:
    """Mean squared distance of x (N, D) to the model's mean, never quite 0."""
    return max(float(((x - np.asarray(model.mean)) ** 2).sum(axis=1).mean()), 1e-12)
