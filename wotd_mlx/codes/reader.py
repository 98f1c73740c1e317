"""What a vector says of each attribute: a small classifier, trained on the labelled words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.labels import label_loss
from wotd_mlx.config.codes import ReaderConfig
from wotd_mlx.training.rows import fit


class Reader(nn.Module):
    r"""Posteriors of A attributes' values from latents z (B, W), through one hidden layer.

    .. math:: p_a(v \mid z) \propto \exp\bigl(W_2\,\mathrm{relu}(W_1 z + b_1) + b_2\bigr)_{a,v}

    They are balanced: trained with each value counted alike, however many words bear it.

    Args:
        width: W.
        sizes: how many values each attribute has.
    """

    def __init__(self, width: int, sizes: Sequence[int], cfg: ReaderConfig | None = None):
        super().__init__()
        self._cfg = cfg = cfg or ReaderConfig()
        self.sizes = tuple(sizes)
        self.up = nn.Linear(width, cfg.hidden)
        self.down = nn.Linear(cfg.hidden, sum(sizes))
        # Share of each value among the labelled training words, zero for an attribute without any; and a mean weight.
        self.prior = mx.zeros((sum(sizes),))
        self.weight = mx.ones((len(sizes),))
        self.freeze(recurse=False)
        self._dropout = (nn.Dropout(cfg.input_dropout), nn.Dropout(cfg.hidden_dropout))

    def logits(self, z: mx.array) -> list[mx.array]:
        """z (B, W) -> for each attribute (B, V)."""
        dropped, halved = self._dropout
        hidden = nn.relu(self.up(dropped(z) if self.training else z))
        out = self.down(halved(hidden) if self.training else hidden)
        return self._split(out)

    def _split(self, rows: mx.array) -> list[mx.array]:
        ends = np.cumsum(self.sizes).tolist()
        return [rows[..., end - size : end] for end, size in zip(ends, self.sizes, strict=True)]

    def __call__(self, z: mx.array) -> list[mx.array]:
        """z (B, W) -> each attribute's balanced posterior (B, V); zeros where no training word is labelled with it."""
        known = [prior.sum() > 0 for prior in self._split(self.prior)]
        return [mx.softmax(part, axis=-1) * k for part, k in zip(self.logits(z), known, strict=True)]

    def label_gain(self, z: mx.array) -> list[mx.array]:
        r"""z (B, W) -> for each attribute (B, V) what reading z as value v adds to the balanced accuracy.

        A word of a rare value weighs more there: :math:`p_v / (\sum_u p_u \pi_u)`, with π the shares among the words,
        over the mean of that weight.
        """
        return [p * w / self.weight[a] for a, (p, w) in enumerate(self._weighted(z))]

    def _weighted(self, z: mx.array) -> list[tuple[mx.array, mx.array]]:
        pairs = zip(self(z), self._split(self.prior), strict=True)
        return [(p, 1 / mx.maximum((p * prior).sum(axis=-1, keepdims=True), 1e-6)) for p, prior in pairs]

    def fit(
        self, z: Vectors, labels: Indices, weights: Vectors, seed: int, progress: Callable[[int], None], *, fuse: bool
    ) -> None:
        """Learn from z (N, W) with labels (N, A), −1 where unknown, and balancing weights (N, A)."""
        rows = np.flatnonzero((labels >= 0).any(axis=1))
        if not len(rows):
            return
        pairs = zip(labels.T, self.sizes, strict=True)
        priors = [np.bincount(column[column >= 0], minlength=size) for column, size in pairs]
        self.prior = mx.array(np.concatenate([n / max(n.sum(), 1) for n in priors]), mx.float32)
        known = (mx.array(array[rows]) for array in (z, np.maximum(labels, 0), weights))
        fit(self, self._loss, tuple(known), self._cfg, seed, progress, compiled=fuse)
        self.weight = mx.stack([w.mean() for _, w in self._weighted(mx.array(z))])

    def _loss(self, z: mx.array, labels: mx.array, weights: mx.array) -> mx.array:
        return label_loss(self.logits(z), labels, weights)
