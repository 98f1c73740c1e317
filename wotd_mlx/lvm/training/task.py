"""What a predictor is trained on: windows of articles, each position of which is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn

from wotd_mlx.arrays import Embeddings
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.kernels.choice import cpu_path
from wotd_mlx.lvm.data.sentences import Sentences, Split
from wotd_mlx.lvm.training.history import Epoch, PredictorState
from wotd_mlx.lvm.training.loss import cosines, losses
from wotd_mlx.lvm.training.windows import Batch, batches, cut
from wotd_mlx.training.layerwise import Layerwise
from wotd_mlx.training.schedule import PlateauRule
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task

_THRESHOLD = 1e-4
"""Share by which a loss must be below the best to count, as torch's ReduceLROnPlateau has it."""


class PredictorTask(Task[PredictorState]):
    """Epochs on the articles of a split; an epoch's order, windows and candidates depend on (seed, epoch) alone."""

    figures = ("loss", "cosine", "margin")

    def __init__(self, model: nn.Module, sentences: Sentences, embeddings: Embeddings, split: Split, recipe: Recipe):
        self.model, self.sentences, self.embeddings, self.split = model, sentences, embeddings, split
        self.recipe, self.seed, self.patience = recipe, recipe.seed, recipe.patience
        self.plateau = PlateauRule(_THRESHOLD, recipe.plateau_factor, recipe.plateau_patience)
        self.advice = f"lower the learning rate (now {recipe.learning_rate:g})"
        self.dtype = computing_type(recipe)
        self.parts = 1
        """Micro-batches that a step's windows are taken in; their gradients add up to the whole batch's."""

    @property
    def steps(self) -> int:
        """Steps of an epoch, about: windows begin at random positions."""
        return -(-len(cut(self.sentences, self.split.train, self.recipe.context, None)) // self.recipe.batch)

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """(batch, positions in the step) for each micro-batch."""
        rng = np.random.default_rng([self.seed, epoch])
        for batch in self.windows(self.split.train, rng, start):
            total = batch.mask.sum()
            yield ((part, total) for part in micro_batches(batch, self.parts))

    def windows(self, articles: Any, rng: np.random.Generator | None = None, start: int = 0) -> Iterator[Batch]:
        """Batches of windows of some articles, as :func:`~wotd_mlx.lvm.training.windows.batches`."""
        context, size = self.recipe.context, self.recipe.batch
        negatives = self.recipe.negatives if self.recipe.contrastive else 0
        data = (self.sentences, self.embeddings, articles)
        return batches(*data, context=context, batch=size, negatives=negatives, rng=rng, start=start)

    def loss(self, batch: Batch, total: mx.array) -> tuple[mx.array, ...]:
        """Loss, cosine and margin: sums over the batch's positions, divided by ``total``."""
        prediction, _ = self.model(batch.x.astype(self.dtype))
        return figures_of(prediction.astype(mx.float32), batch, total, self.recipe)

    def rate(self, step: int, state: PredictorState) -> float:
        """Up over the warm-up's steps; falls on plateaus."""
        risen = min(1.0, (step + 1) / self.recipe.warmup) if self.recipe.warmup else 1.0
        return self.recipe.learning_rate * state.plateau.factor * risen

    def ended(self, state: PredictorState) -> bool:
        """Whether all epochs are over."""
        return state.epoch > self.recipe.epochs

    def evaluate(self) -> list[float]:
        """Loss, cosine and margin on the validation articles."""
        sums, total = np.zeros(len(self.figures)), 0.0
        for batch in self.windows(self.split.valid):
            positions = batch.mask.sum()
            figures = self.loss(batch, positions)
            mx.eval(figures)
            sums += np.array([float(f) for f in figures]) * float(positions)
            total += float(positions)
        return [float(figure) for figure in sums / total]

    def record(self, state: PredictorState, valid: list[float], rate: float, best: bool) -> Epoch:
        """The epoch's line of the history."""
        loss, cosine, margin, norm = state.means
        return Epoch(
            epoch=state.epoch - 1,
            train_loss=loss,
            train_cosine=cosine,
            train_margin=margin,
            valid_loss=valid[0],
            valid_cosine=valid[1],
            valid_margin=valid[2],
            learning_rate=rate,
            gradient_norm=norm,
            seconds=state.seconds - state.closed,
            peak_bytes=mx.get_peak_memory(),
            best=best,
        )

    def step(self) -> Step:
        """Steps on all weights at once."""
        recipe = self.recipe
        return Step(self, make_optimizer(recipe), clip=recipe.clip, ema=recipe.ema, dtype=self.dtype)


class BlockwiseTask(PredictorTask):
    """The same for a model over no base that is trained block by block, in one part and in the weights' own type."""

    def __init__(self, model: Any, sentences: Sentences, embeddings: Embeddings, split: Split, recipe: Recipe):
        super().__init__(model, sentences, embeddings, split, recipe)
        self.dtype = mx.float32

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """(x (B, L, D) as the predictor reads it, batch)."""
        rng = np.random.default_rng([self.seed, epoch])
        for batch in self.windows(self.split.train, rng, start):
            yield [(batch.x * self.model.scale, batch)]

    def layerwise(self) -> Layerwise:
        """Steps on one block after another, with Adafactor."""
        recipe, scale = self.recipe, self.model.scale

        def loss(y: mx.array, batch: Batch) -> tuple[mx.array, ...]:
            return figures_of(y / scale, batch, batch.mask.sum(), recipe)

        return Layerwise(self.model.predictor, lambda: _adafactor(recipe), loss, recipe.clip, recipe.seed)


def figures_of(prediction: mx.array, batch: Batch, total: mx.array, recipe: Recipe) -> tuple[mx.array, ...]:
    """Loss, cosine and margin of predictions (B, L, D): sums over the batch's positions, divided by ``total``."""
    each = (losses(prediction, batch, recipe), *cosines(prediction, batch))
    return tuple((figures * batch.mask).sum() / total for figures in each)


def make_optimizer(recipe: Recipe) -> optim.Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), or Adafactor (Shazeer and Stern, arXiv 1804.04235)."""
    if recipe.optimizer == "adafactor":
        return _adafactor(recipe)
    return optim.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, bias_correction=True)


def _adafactor(recipe: Recipe) -> optim.Optimizer:
    return optim.Adafactor(
        recipe.learning_rate, weight_decay=recipe.weight_decay, relative_step=False, scale_parameter=False
    )


def computing_type(recipe: Recipe) -> mx.Dtype:
    """bfloat16 on GPUs, which are good at it; masters stay float32."""
    half = recipe.precision == "bfloat16" or (recipe.precision == "auto" and not cpu_path())
    return mx.bfloat16 if half else mx.float32


def micro_batches(batch: Batch, parts: int) -> Iterator[Batch]:
    """The windows of a batch in ``parts`` runs; candidates are shared."""
    size = -(-len(batch.x) // parts)
    for start in range(0, len(batch.x), size):
        part = slice(start, start + size)
        x, target, mask, rows, context = (array[part] for array in batch[:5])
        yield Batch(x, target, mask, rows, context, batch.candidates, batch.candidate_rows)
