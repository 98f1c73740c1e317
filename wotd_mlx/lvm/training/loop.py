"""The training loop: an epoch at a time, the same curve whether or not it was interrupted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx import nn
from mlx.utils import tree_map, tree_map_with_path
from numpy.typing import NDArray

from wotd_mlx.backend import on_cpu
from wotd_mlx.config.lvm import Recipe
from wotd_mlx.io.safetensors import named
from wotd_mlx.lvm.data.sentences import Sentences, Split
from wotd_mlx.lvm.training.loss import cosines, losses
from wotd_mlx.lvm.training.progressed import FIGURES, LARGEST, Epoch, Progressed
from wotd_mlx.lvm.training.windows import Batch, batches, cut
from wotd_mlx.schemas import WotdError

Vectors = NDArray[np.float32]
Progress = Callable[[int, str], None]


class Loop(ABC):
    """Epochs of steps on the articles of a split, whatever takes the steps.

    Order, windows, dropout and random candidates of a step depend on (seed, epoch, step) alone, so that a training
    that goes on from what :meth:`arrays` and ``progressed`` held takes the same steps as one that never stopped.
    """

    def __init__(self, model: nn.Module, sentences: Sentences, vectors: Vectors, split: Split, recipe: Recipe):
        self.model, self.sentences, self.vectors, self.split = model, sentences, vectors, split
        self.recipe = recipe
        self.progressed = Progressed()
        self._dtype = mx.float32

    @abstractmethod
    def step(self, batch: Batch) -> list[float]:
        """One step of the optimiser; :data:`FIGURES` of the batch."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """Of the last step."""

    @property
    @abstractmethod
    def kept(self) -> Any:
        """The weights that are evaluated and saved."""

    @abstractmethod
    def arrays(self) -> dict[str, mx.array]:
        """All that a training needs beside ``progressed`` to go on, by name: weights and optimisers' states."""

    @abstractmethod
    def _restore(self, read: Callable[[Any, str], Any]) -> None:
        """Take back what :meth:`arrays` gave; ``read(tree, place)`` is the same tree with its arrays."""

    @contextmanager
    def showing_kept(self) -> Iterator[None]:
        """The model has the weights in it that are kept, and afterwards those that are trained."""
        yield

    def epochs(self, progress: Progress, save: Callable[[], None]) -> Iterator[Epoch]:
        """Train on, an epoch at a time, until the recipe's last epoch or the end of its patience.

        Args:
            progress: called after each step with 1 and a note of its figures.
            save: called after each step; it may keep :meth:`arrays` and ``progressed``.
        """
        while self.progressed.epoch <= self.recipe.epochs and not self.progressed.plateau.ended(self.recipe):
            yield self._epoch(progress, save)

    @property
    def steps(self) -> int:
        """Steps of an epoch, about: windows begin at random places."""
        return -(-len(cut(self.sentences, self.split.train, self.recipe.context, None)) // self.recipe.batch)

    def _epoch(self, progress: Progress, save: Callable[[], None]) -> Epoch:
        now, recipe = self.progressed, self.recipe
        rng = np.random.default_rng([recipe.seed, now.epoch])
        self.model.train()
        mx.reset_peak_memory()
        started = time.monotonic() - now.seconds
        for batch in self._batches(self.split.train, rng, now.step):
            figures = self.step(batch)
            self._see_sane(dict(zip(FIGURES, figures, strict=True)), f"step {now.step + 1}")
            now.sums = [a + b for a, b in zip(now.sums, figures, strict=True)]
            now.step, now.seconds = now.step + 1, time.monotonic() - started
            loss, cosine, margin = (total / now.step for total in now.sums[:3])
            progress(1, f"epoch {now.epoch}: loss {loss:.4f}, cosine {cosine:.3f}, margin {margin:+.3f}")
            save()
        means = [total / max(now.step, 1) for total in now.sums]
        valid = self.validate()
        self._see_sane(dict(zip(FIGURES, valid, strict=False)), "validation")
        rate = self.learning_rate
        best = now.plateau.update(now.epoch, valid[0], recipe)
        epoch = Epoch(
            epoch=now.epoch,
            train_loss=means[0],
            train_cosine=means[1],
            train_margin=means[2],
            valid_loss=valid[0],
            valid_cosine=valid[1],
            valid_margin=valid[2],
            learning_rate=rate,
            gradient_norm=means[3],
            seconds=time.monotonic() - started,
            peak_bytes=mx.get_peak_memory(),
            best=best,
        )
        now.history.append(epoch)
        now.epoch, now.step, now.seconds, now.sums = now.epoch + 1, 0, 0.0, [0.0] * len(FIGURES)
        return epoch

    def _see_sane(self, figures: Mapping[str, float], where: str) -> None:
        for name, figure in figures.items():
            if not abs(figure) <= LARGEST:
                raise WotdError(
                    f"the {name.replace('_', ' ')} is {figure} in epoch {self.progressed.epoch}, {where}; lower the "
                    f"learning rate (now {self.recipe.learning_rate:g})"
                )

    def seed(self) -> int:
        """What the random numbers of the next step depend on."""
        # Large odd factors keep the seeds of two trainings apart.
        return (self.recipe.seed * 1_000_003 + self.progressed.total) % 2**32

    def rate(self) -> mx.array:
        """The learning rate of the next step."""
        now, recipe = self.progressed, self.recipe
        risen = min(1.0, (now.total + 1) / recipe.warmup) if recipe.warmup else 1.0
        return mx.array(recipe.learning_rate * now.plateau.factor * risen)

    def validate(self) -> list[float]:
        """Loss, cosine and margin on the validation articles, of the weights that would be kept."""
        self.model.eval()
        sums, total = np.zeros(3), 0.0
        with self.showing_kept():
            for batch in self._batches(self.split.valid, None, 0):
                places = batch.mask.sum()
                figures = self._figures(batch, places)
                mx.eval(figures)
                sums += np.array([float(f) for f in figures]) * float(places)
                total += float(places)
        return [float(figure) for figure in sums / total]

    def resume(self, arrays: dict[str, mx.array], progressed: Progressed) -> None:
        """Go on from what :meth:`arrays` gave."""

        def read(tree: Any, place: str) -> Any:
            """The same tree with the arrays that were kept: its order decides the last digit of sums over it."""
            return tree_map_with_path(lambda name, _: arrays[f"{place}.{name}"], tree)

        self._restore(read)
        self.progressed = progressed

    def _batches(self, articles: Any, rng: np.random.Generator | None, start: int) -> Iterator[Batch]:
        recipe = self.recipe
        negatives = recipe.negatives if recipe.contrastive else 0
        return batches(
            self.sentences,
            self.vectors,
            articles,
            context=recipe.context,
            batch=recipe.batch,
            negatives=negatives,
            rng=rng,
            start=start,
        )

    def _figures(self, batch: Batch, total: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        """Loss, cosine and margin: sums over the batch's places, divided by ``total``."""
        prediction, _ = self.model(batch.x.astype(self._dtype))
        return figures_of(prediction.astype(mx.float32), batch, total, self.recipe)


class Trainer(Loop):
    """Trains all weights of a model together, in float32.

    Args:
        parts: micro-batches that a step's windows are taken in; their gradients add up to the whole batch's.
        compiled: fuse a step with ``mx.compile``.
    """

    def __init__(
        self,
        model: nn.Module,
        sentences: Sentences,
        vectors: Vectors,
        split: Split,
        recipe: Recipe,
        parts: int = 1,
        compiled: bool = True,
    ):
        super().__init__(model, sentences, vectors, split, recipe)
        self.parts = parts
        self.optimizer = make_optimizer(recipe)
        self.parameters = model.trainable_parameters()
        self.optimizer.init(self.parameters)
        self.averaged = tree_map(mx.array, self.parameters) if recipe.ema else None
        self._dtype = computing_type(recipe)
        # Dropout draws from the global random state, which each step seeds anew.
        random, inner = [mx.random.state], [self.optimizer.state]
        self._gradients: Callable[..., Any] = mx.value_and_grad(self._loss)
        self._apply: Callable[..., Any] = self._apply_gradients
        if compiled:
            self._gradients = partial(mx.compile, inputs=random, outputs=random)(self._gradients)
            self._apply = partial(mx.compile, inputs=inner, outputs=inner)(self._apply)

    def step(self, batch: Batch) -> list[float]:
        """One step of the optimiser; :data:`FIGURES` of the batch."""
        mx.random.seed(self.seed())
        total, sums, gradients = batch.mask.sum(), None, None
        for part in micro_batches(batch, self.parts):
            found, more = self.gradients(part, total)
            sums = found if sums is None else [a + b for a, b in zip(sums, found, strict=True)]
            gradients = more if gradients is None else tree_map(mx.add, gradients, more)
            # Evaluated one by one, or the activations of all parts would be held together.
            mx.eval(sums, gradients)
        self.optimizer.learning_rate = self.rate()
        self.parameters, self.averaged, norm = self._apply(self.parameters, gradients, self.averaged)
        mx.eval(self.parameters, self.averaged, self.optimizer.state, norm)
        self.model.update(self.parameters)
        self.progressed.total += 1
        assert sums is not None
        return [*(float(figure) for figure in sums), float(norm)]

    def gradients(self, batch: Batch, places: mx.array) -> Any:
        """((loss, cosine, margin), gradients) of a batch, its sums divided by a number of places."""
        return self._gradients(self.parameters, batch, places)

    @property
    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self.optimizer.learning_rate)

    @property
    def kept(self) -> Any:
        """The weights that are evaluated and saved: the averaged ones where the recipe averages."""
        return self.averaged if self.averaged is not None else self.parameters

    @contextmanager
    def showing_kept(self) -> Iterator[None]:
        """The model has the weights in it that are kept, and afterwards those that are trained."""
        self.model.update(self.kept)
        yield
        self.model.update(self.parameters)

    def arrays(self) -> dict[str, mx.array]:
        """Weights, averaged weights and the optimiser's state by name."""
        held = {"parameters": self.parameters, "optimizer": self.optimizer.state, "averaged": self.averaged or {}}
        return named(held)

    def _restore(self, read: Callable[[Any, str], Any]) -> None:
        self.parameters = read(self.parameters, "parameters")
        self.averaged = read(self.averaged, "averaged") if self.averaged is not None else None
        # In place: the compiled update holds on to this very dict.
        self.optimizer.state.update(read(self.optimizer.state, "optimizer"))
        self.model.update(self.parameters)

    def _loss(self, parameters: Any, batch: Batch, total: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        self.model.update(tree_map(lambda w: w.astype(self._dtype), parameters))
        return self._figures(batch, total)

    def _apply_gradients(self, parameters: Any, gradients: Any, averaged: Any) -> tuple[Any, Any, mx.array]:
        gradients, norm = optim.clip_grad_norm(gradients, self.recipe.clip)
        parameters = self.optimizer.apply_gradients(gradients, parameters)
        if averaged is not None:
            decay = self.recipe.ema
            averaged = tree_map(lambda kept, new: decay * kept + (1 - decay) * new, averaged, parameters)
        return parameters, averaged, norm


def figures_of(
    prediction: mx.array, batch: Batch, total: mx.array, recipe: Recipe
) -> tuple[mx.array, mx.array, mx.array]:
    """Loss, cosine and margin of predictions (B, L, D): sums over the batch's places, divided by ``total``."""
    per_place = (losses(prediction, batch, recipe), *cosines(prediction, batch))
    loss, cosine, margin = ((figures * batch.mask).sum() / total for figures in per_place)
    return loss, cosine, margin


def make_optimizer(recipe: Recipe) -> optim.Optimizer:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), or Adafactor (Shazeer and Stern, arXiv 1804.04235)."""
    if recipe.optimizer == "adafactor":
        return optim.Adafactor(
            recipe.learning_rate, weight_decay=recipe.weight_decay, relative_step=False, scale_parameter=False
        )
    return optim.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, bias_correction=True)


def computing_type(recipe: Recipe) -> mx.Dtype:
    """bfloat16 on GPUs, which are good at it; masters stay float32."""
    half = recipe.precision == "bfloat16" or (recipe.precision == "auto" and not on_cpu())
    return mx.bfloat16 if half else mx.float32


def micro_batches(batch: Batch, parts: int) -> Iterator[Batch]:
    """The windows of a batch in ``parts`` runs; candidates are shared."""
    size = -(-len(batch.x) // parts)
    for start in range(0, len(batch.x), size):
        part = slice(start, start + size)
        x, target, mask, rows, context = (array[part] for array in batch[:5])
        yield Batch(x, target, mask, rows, context, batch.candidates, batch.candidate_rows)
