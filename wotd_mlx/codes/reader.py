"""What a vector says of each attribute: a small classifier, trained on the labelled words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Indices, Vectors
from wotd_mlx.codes.labels import label_loss
from wotd_mlx.config.codes import ReaderConfig
from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.state import TrainState
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task, shuffled
from wotd_mlx.training.trainer import Trainer


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
        self.cfg = cfg = cfg or ReaderConfig()
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
        task = ReaderTask(self, rows, z, labels, weights, seed)
        optimizer = optim.AdamW(self.cfg.learning_rate, weight_decay=self.cfg.weight_decay)
        trainer = Trainer(task, Step(task, optimizer, compiled=fuse), TrainState())
        for _ in trainer.evaluations(lambda n, note: progress(n)):
            pass
        self.eval()
        self.weight = mx.stack([w.mean() for _, w in self._weighted(task.data[0])])


class ReaderTask(Task[TrainState]):
    """Trains a reader on the labelled rows of z (N, W), some epochs and no validation."""

    model: Reader

    def __init__(self, model: Reader, rows: Indices, z: Vectors, labels: Indices, weights: Vectors, seed: int):
        self.model, self.rows, self.seed, self.cfg = model, rows, seed, model.cfg
        self.data = (mx.array(z), mx.array(np.maximum(labels, 0)), mx.array(weights))

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """(z, labels, weights)."""
        for rows in shuffled(self.rows, self.cfg.batch, self.seed, epoch, start):
            yield [tuple(part[rows] for part in self.data)]

    def loss(self, z: mx.array, labels: mx.array, weights: mx.array) -> tuple[mx.array]:
        """Balanced cross-entropy of all attributes."""
        return (label_loss(self.model.logits(z), labels, weights),)

    def rate(self, step: int, state: TrainState) -> float:
        """Down along a cosine."""
        return self.cfg.learning_rate * warmup_cosine(step, self.cfg.steps(len(self.rows)), 0.0)

    def ended(self, state: TrainState) -> bool:
        """Whether all epochs are over."""
        return state.epoch > self.cfg.epochs

    def due_after_epoch(self) -> bool:
        """There is nothing to choose between."""
        return False
