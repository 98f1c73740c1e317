"""What a vector says of each attribute: a small classifier, trained on the labelled words and calibrated on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx
import numpy as np
from mlx import nn
from numpy.typing import NDArray

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.labels import balanced_weights, label_loss
from wotd_mlx.config.codes import ReaderConfig
from wotd_mlx.known import LIKELY
from wotd_mlx.training.rows import fit

# Labelled words from which on an attribute's probabilities are calibrated.
ENOUGH = 50
# Offset of a value that no training word has.
_NEVER = -30.0


class Reader(nn.Module):
    r"""Probabilities of A attributes' values from vectors z (B, W): a linear map, and one hidden layer beside it.

    .. math:: p_a(v \mid z) \propto \exp\bigl(s_a\,(A z' + W_2\,\mathrm{relu}(W_1 z' + b_1) + b_2)_{a,v} + t_{a,v}\bigr)

    with z' of mean 0 and variance 1 a dimension over the training words. Rare values count more in training than they
    are frequent; s and t then make the probabilities those of words that the training hasn't seen, where values are as
    frequent as they are (Guo et al. 2017, arXiv 1706.04599, vector scaling with one scale).

    Args:
        width: W.
        sizes: how many values V each attribute has.
    Shape:
        z (B, W) -> the value (B, A) of each attribute that is likelier than not; V_a where none is.
    """

    def __init__(self, width: int, sizes: Sequence[int], cfg: ReaderConfig | None = None):
        super().__init__()
        self._cfg = cfg = cfg or ReaderConfig()
        self.sizes = tuple(sizes)
        self.mean, self.scale = mx.zeros((width,)), mx.ones((width,))
        self.linear = nn.Linear(width, sum(sizes), bias=False)
        self.linear.weight = mx.zeros(self.linear.weight.shape)
        self.up = nn.Linear(width, cfg.hidden)
        self.down = nn.Linear(cfg.hidden, sum(sizes))
        # Share of each value among the labelled training words, zero for an attribute without any.
        self.prior = mx.zeros((sum(sizes),))
        self.sharpness = mx.ones((len(sizes),))
        self.offset = mx.zeros((sum(sizes),))
        self.freeze()  # but for `fit`: it learns on its own
        self._dropout = (nn.Dropout(cfg.input_dropout), nn.Dropout(cfg.hidden_dropout))

    def logits(self, z: mx.array) -> list[mx.array]:
        """z (B, W) -> for each attribute (B, V)."""
        dropped, halved = self._dropout
        z = (z - self.mean) / self.scale
        z = dropped(z) if self.training else z
        hidden = nn.relu(self.up(z))
        return self._split(self.linear(z) + self.down(halved(hidden) if self.training else hidden))

    def _split(self, rows: mx.array) -> list[mx.array]:
        ends = np.cumsum(self.sizes).tolist()
        return [rows[..., end - size : end] for end, size in zip(ends, self.sizes, strict=True)]

    def posteriors(self, z: mx.array) -> list[mx.array]:
        """z (B, W) -> each attribute's probabilities (B, V); zeros where no training word is labelled with it."""
        parts = zip(self.logits(z), self._split(self.prior), self._split(self.offset), strict=True)
        return [
            mx.softmax(self.sharpness[a] * logits + offset, axis=-1) * (prior.sum() > 0)
            for a, (logits, prior, offset) in enumerate(parts)
        ]

    def balanced(self, z: mx.array) -> list[mx.array]:
        """z (B, W) -> what each attribute's probabilities (B, V) would be, were its values equally frequent."""
        pairs = zip(self.posteriors(z), self._split(self.prior), strict=True)
        odds = [mx.where(prior > 0, part / mx.maximum(prior, 1e-6), 0) for part, prior in pairs]
        return [part / mx.maximum(part.sum(axis=-1, keepdims=True), 1e-12) for part in odds]

    def __call__(self, z: mx.array) -> mx.array:
        """z (B, W) -> the value (B, A) of each attribute that is likelier than not; V_a where none is."""
        if not (len(self.sizes) and len(z)):
            return mx.zeros((len(z), len(self.sizes)), mx.int32)
        told = [
            mx.where(part.max(axis=-1) > LIKELY, part.argmax(axis=-1), size)
            for part, size in zip(self.posteriors(z), self.sizes, strict=True)
        ]
        return mx.stack(told, axis=1).astype(mx.int32)

    def fit(self, z: Vectors, labels: Indices, seed: int, progress: Callable[[int], None], *, fuse: bool) -> None:
        """Learn from z (N, W) with labels (N, A), −1 where unknown."""
        rows = np.flatnonzero((labels >= 0).any(axis=1))
        if not len(rows):
            return
        counts = [
            np.bincount(column[column >= 0], minlength=size) for column, size in zip(labels.T, self.sizes, strict=True)
        ]
        self.prior = mx.array(np.concatenate([n / max(n.sum(), 1) for n in counts]), mx.float32)
        # Until it is calibrated: as if training words were the measure.
        self.offset = mx.where(self.prior > 0, self._cfg.balance * mx.log(mx.maximum(self.prior, 1e-6)), _NEVER)
        self.mean, self.scale = mx.array(z[rows].mean(axis=0)), mx.array(np.maximum(z[rows].std(axis=0), 1e-6))
        weights = balanced_weights(labels[rows]) ** self._cfg.balance
        known = (mx.array(array) for array in (z[rows], np.maximum(labels[rows], 0), weights))
        for layer in (self.linear, self.up, self.down):
            layer.unfreeze()
        fit(self, self._loss, tuple(known), self._cfg, seed, progress, compiled=fuse)
        self.freeze()

    def calibrate(self, z: Vectors, labels: Indices, views: int = 1) -> None:
        """Set the scales and offsets by words with z (N, W) and labels (N, A) that :meth:`fit` hasn't seen, each there
        ``views`` times."""
        if not self.sizes:
            return
        sharpness, offsets = np.array(self.sharpness), [np.array(part) for part in self._split(self.offset)]
        for a, logits in enumerate(map(np.asarray, self.logits(mx.array(z)))):
            known = labels[:, a] >= 0
            if known.sum() >= ENOUGH * views:
                sharpness[a], offsets[a] = _scaling(logits[known], labels[known, a], offsets[a])
        self.sharpness, self.offset = mx.array(sharpness), mx.array(np.concatenate(offsets), mx.float32)

    def _loss(self, z: mx.array, labels: mx.array, weights: mx.array) -> mx.array:
        return label_loss(self.logits(z), labels, weights)


def likeliest(posteriors: Sequence[mx.array]) -> tuple[Indices, Vectors]:
    """For each attribute probabilities (B, V) -> its likeliest value (B, A), −1 where nothing is said of it, and that
    value's probability (B, A)."""
    parts = [np.asarray(part) for part in posteriors]
    best = [np.where(part.any(axis=1), part.argmax(axis=1), -1) for part in parts]
    return np.array(best, np.int64).T, np.array([part.max(axis=1) for part in parts], np.float32).T


def _scaling(logits: Vectors, labels: Indices, offset: Vectors) -> tuple[float, NDArray[np.float64]]:
    """The scale s and the offsets t (V,) with which softmax(s · logits + t) tells labels (N,) best."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    hot = np.eye(len(offset))[labels]

    def surprise(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = np.exp(point[0]) * logits + point[1:]
        wrong = (softmax(scaled, axis=1) - hot) / len(hot)
        slope = np.concatenate([[(wrong * logits).sum() * np.exp(point[0])], wrong.sum(axis=0)])
        return float(-(hot * log_softmax(scaled, axis=1)).sum() / len(hot)), slope

    found = minimize(surprise, np.concatenate([[0.0], offset]), jac=True, method="L-BFGS-B").x
    return float(np.exp(found[0])), found[1:]
