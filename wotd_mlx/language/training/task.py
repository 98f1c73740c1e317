"""What a language model is trained on: answers of exchanges, rows of like length together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from numpy.typing import NDArray

from wotd_mlx.config.language import LanguageRecipe
from wotd_mlx.kernels.compile import jit_available
from wotd_mlx.kernels.cross_entropy import cross_entropy
from wotd_mlx.kernels.swiglu import fast_swiglu
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.head import Head
from wotd_mlx.language.training.batches import Batch, Rows
from wotd_mlx.language.training.checkpointing import checkpointed, repeatable_dropout
from wotd_mlx.language.training.history import EvalRecord, LanguageState
from wotd_mlx.language.training.prefix import hidden_behind, may_share
from wotd_mlx.training.schedule import warmup_cosine
from wotd_mlx.training.step import Step
from wotd_mlx.training.task import Parts, Task

Numbers = NDArray[np.int64]

_COMPILED_MULTIPLE = 4
"""To which lengths are filled up where each shape is traced anew, which takes a tenth of a step."""
_NEARLY_ONE = 1 - 1e-4
_CHUNK = 512
"""Positions whose logits are computed together where activations are computed again."""


class LanguageTask(Task[LanguageState]):
    """Trains what is trainable in a language's model on the answers of exchanges.

    The hidden states of answers alone go through the output matrix. What all rows begin with is read once a batch.

    Args:
        language: its model has its adapters on it already.
        train, valid: rows as tokens.
    """

    evaluates_epochs = False

    def __init__(self, language: LoadedModel, train: Rows, valid: Rows, recipe: LanguageRecipe):
        self.language, self.model, self.recipe = language, language.model, recipe
        self.train, self.valid = train, valid
        self.seed, self.patience = recipe.seed, recipe.patience
        self.advice = f"lower the learning rate (now {recipe.learning_rate:g}) or the scale (now {recipe.lora.scale:g})"
        mx.eval(self.model.parameters())
        self.head = Head(self.model)
        self.shared = self._shared()
        self.compiled = jit_available() if recipe.compile is None else recipe.compile
        self._multiple = _COMPILED_MULTIPLE if self.compiled else 1
        self.compute(min(recipe.batch, recipe.micro_batch or recipe.batch), recipe.checkpointing)

    def compute(self, micro: int, checkpointing: bool) -> None:
        """Say how gradients are computed: on how many rows at once, and whether with activations computed again."""
        self.micro, self.checkpointing = micro, checkpointing
        if checkpointing:
            repeatable_dropout(self.model)
        self._validation: Callable[..., mx.array] = self._loss_of
        if self.compiled:
            self._validation = mx.compile(self._validation)

    def _shared(self) -> mx.array:
        """(P,) tokens that training and validation rows begin with, as far as the model may read them once."""
        first, second = self.train.shared, self.valid.shared
        size = min(len(first), len(second))
        agree = first[:size] == second[:size]
        found = mx.array(first[: size if agree.all() else int(agree.argmin())])
        some = self.train.batch(np.argsort(self.train.lengths)[:2], skip=len(found))
        self.model.eval()
        return found if may_share(self.head, self.model, found, some.tokens) else found[:0]

    def step(self) -> Step:
        """Steps by AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""
        recipe = self.recipe
        optimizer = optim.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, bias_correction=True)
        return Step(self, optimizer, clip=recipe.clip, compiled=self.compiled)

    def plan(self, state: LanguageState, steps: int) -> None:
        """Say how many steps there will be in all."""
        state.planned, state.every = steps, max(1, round(steps / self.recipe.evaluations))

    def follow_time(self, state: LanguageState) -> None:
        """With a budget of minutes, plan anew from the speed so far, so that the cosine ends when they do."""
        if self.recipe.minutes and state.step:
            left = max(0.0, 60 * self.recipe.minutes - state.seconds)
            state.planned = state.step + int(left * state.step / state.seconds)

    def due(self, state: LanguageState) -> bool:
        """Before the first step, every so many, and at the end."""
        return state.step % state.every == 0 or self.ended(state)

    def ended(self, state: LanguageState) -> bool:
        """Whether the plan's steps are taken, or the recipe's minutes over."""
        minutes = self.recipe.minutes
        return state.step >= state.planned or bool(minutes and state.seconds > 60 * minutes)

    def rate(self, step: int, state: LanguageState) -> float:
        """Up over the warm-up's share of the steps, then along a cosine to nothing."""
        return self.recipe.learning_rate * warmup_cosine(step, state.planned, self.recipe.warmup)

    @property
    def batches_an_epoch(self) -> int:
        """Steps in which every row is trained on once."""
        return -(-len(self.train) // self.recipe.batch)

    def numbers(self, step: int) -> Numbers:
        """The rows of a step, the first being 0."""
        epoch, position = divmod(step, self.batches_an_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch, self._order = epoch, self.train.order(self.recipe.batch, self.recipe.seed, epoch)
        return self._order[position]

    def batches(self, epoch: int, start: int) -> Iterator[Parts]:
        """(batch, weight of all answers in the step) for each micro-batch."""
        for n in range(start, self.batches_an_epoch):
            yield self.parts(self.numbers((epoch - 1) * self.batches_an_epoch + n))

    def parts(self, numbers: Numbers, rows: Rows | None = None) -> Parts:
        """The micro-batches of a step on these rows (of training)."""
        rows = rows or self.train
        total = mx.array(float(rows.weights[numbers].sum()))
        for start in range(0, len(numbers), self.micro):
            yield self._batch(rows, numbers[start : start + self.micro]), total

    def computing(self) -> ExitStack:
        """Layers compute activations again where that is wanted, and SwiGLU fast where that is faster."""
        stack = ExitStack()
        stack.enter_context(checkpointed(self.model, self.checkpointing))
        stack.enter_context(fast_swiglu(self.model))
        return stack

    def evaluate(self) -> list[float]:
        """Loss a token over the answers of the validation rows, weighted as in training, in natural logarithms."""
        parameters, loss = self.model.trainable_parameters(), 0.0
        with fast_swiglu(self.model):
            for numbers in self.valid.in_turn(self.micro):
                loss += float(self._validation(parameters, self._batch(self.valid, numbers), mx.array(1.0)))
        # Tracing left its own placeholders in the model.
        self.model.update(parameters)
        return [loss / float(self.valid.weights.sum())]

    def record(self, state: LanguageState, valid: list[float], rate: float, best: bool) -> EvalRecord:
        """The history's line."""
        loss, norm = state.means or (None, None)
        steps = range(state.step - state.counted, state.step)
        tokens = sum(float(self.train.lengths[self.numbers(step)].sum()) for step in steps)
        return EvalRecord(
            step=state.step,
            loss=loss,
            valid_loss=valid[0],
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_second=tokens / state.busy if state.busy else 0.0,
            seconds=state.seconds,
            peak_bytes=mx.get_peak_memory(),
            best=best,
        )

    @property
    def _skip(self) -> int:
        # A layer that is computed again can't hand its keys on.
        return 0 if self.checkpointing else len(self.shared)

    def _batch(self, rows: Rows, numbers: Numbers) -> Batch:
        return rows.batch(numbers, self._skip, self._multiple)

    def _loss_of(self, parameters: Any, batch: Batch, total: mx.array) -> mx.array:
        self.model.update(parameters)
        return self.loss(batch, total)[0]

    def loss(self, batch: Batch, total: mx.array) -> tuple[mx.array]:
        """The loss at the batch's answers, its sum divided by ``total``."""
        if self._skip:
            hidden = hidden_behind(self.head, self.model, self.shared, batch.tokens)
        else:
            hidden = self.head.hidden(batch.tokens)
        hidden = hidden.reshape(-1, hidden.shape[-1])[batch.positions]
        if not self.checkpointing:
            return (self._answers_loss(hidden, batch.targets, batch.weights, batch.repeats) / total,)
        sums = mx.array(0.0)
        for start in range(0, len(batch.positions), _CHUNK):
            part = slice(start, start + _CHUNK)
            about = (batch.targets[part], batch.weights[part], batch.repeats[part])
            chunk = partial(self._answers_loss, targets=about[0], weights=about[1], repeats=about[2])
            sums = sums + mx.checkpoint(chunk)(hidden[part])
        return (sums / total,)

    def _answers_loss(self, hidden: mx.array, targets: mx.array, weights: mx.array, repeats: mx.array) -> mx.array:
        r"""hidden (A, D), targets and weights (A,), repeats (A, R) -> the weighted sum, in float32, of

        .. math:: -\log p(t) - u \sum_{r \in \text{repeats}} \log (1 - p(r))
        """
        logits = self.head.logits(hidden).astype(mx.float32)
        losses = cross_entropy(logits, targets)
        if self.recipe.unlikelihood:
            total = losses + mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
            p = mx.exp(mx.take_along_axis(logits, mx.maximum(repeats, 0), axis=-1) - total[:, None])
            p = mx.where(repeats < 0, 0.0, mx.minimum(p, _NEARLY_ONE))
            losses = losses - self.recipe.unlikelihood * mx.log1p(-p).sum(axis=-1)
        return (losses * weights).sum()
