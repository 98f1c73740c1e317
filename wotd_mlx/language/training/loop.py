"""The training loop of adapters: a step at a time, the same curve whether or not it was interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map, tree_map_with_path
from msgspec import Meta
from numpy.typing import NDArray

from wotd_mlx.config.language import LanguageRecipe
from wotd_mlx.config.ranges import Count, Natural, Weight
from wotd_mlx.io.safetensors import named
from wotd_mlx.kernels.compile import jit_available
from wotd_mlx.kernels.cross_entropy import cross_entropy
from wotd_mlx.kernels.swiglu import fast_swiglu
from wotd_mlx.language.chat import LoadedModel
from wotd_mlx.language.head import Head
from wotd_mlx.language.training.batches import Batch, Rows
from wotd_mlx.language.training.checkpointing import checkpointed, repeatable_dropout
from wotd_mlx.language.training.prefix import hidden_behind, may_share
from wotd_mlx.schemas import WotdError

Numbers = NDArray[np.int64]
Progress = Callable[[int, str], None]

_COMPILED_MULTIPLE = 4
"""To which lengths are filled up where each shape is traced anew, which takes a tenth of a step."""
_NEARLY_ONE = 1 - 1e-4
_CHUNK = 512
"""Places whose logits are computed together where activations are computed again."""


@dataclass(frozen=True)
class Line:
    """One line of ``history.json``: the figures since the line before it.

    ``loss`` and ``gradient_norm`` are means over the steps, None before the first one; both losses weigh tokens as the
    recipe does. ``tokens_per_second`` counts the tokens of prompts and answers without padding.
    """

    step: Natural
    loss: float | None
    valid_loss: float
    learning_rate: Weight
    gradient_norm: float | None
    tokens_per_second: Weight
    seconds: Weight
    peak_bytes: Annotated[int, Meta(ge=0, le=2**62)]
    best: bool


@dataclass
class Progressed:
    """How far a training has come; with the arrays of :meth:`LanguageTrainer.arrays` all that going on needs."""

    step: Natural = 0
    planned: Natural = 0
    every: Count = 1
    """Steps from one evaluation to the next."""
    seconds: Weight = 0.0
    """Spent in all, validation included."""
    best: float = math.inf
    waited: Natural = 0
    sums: Annotated[list[float], Meta(min_length=4, max_length=4)] = field(default_factory=lambda: [0.0] * 4)
    """Loss, gradient norm, tokens and seconds of the steps since the last line."""
    history: list[Line] = field(default_factory=list)


class LanguageTrainer:
    """Trains what is trainable in a language's model on the answers of exchanges.

    The hidden states of answers alone go through the output matrix. What all rows begin with is read once a batch.
    Order and dropout of a step depend on (seed, step) alone, so that a training that goes on from what :meth:`arrays`
    and ``progressed`` held takes the same steps as one that never stopped.

    Args:
        language: its model has its adapters on it already.
        train, valid: rows as tokens.
    """

    def __init__(self, language: LoadedModel, train: Rows, valid: Rows, recipe: LanguageRecipe):
        self.language, self.model, self.recipe = language, language.model, recipe
        self.train, self.valid = train, valid
        self.progressed = Progressed()
        self.parameters = self.model.trainable_parameters()
        mx.eval(self.model.parameters())
        self.optimizer = optim.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay, bias_correction=True)
        self.optimizer.init(self.parameters)
        self.head = Head(self.model)
        self.shared = self._shared()
        self.compiled = jit_available() if recipe.compile is None else recipe.compile
        self._multiple = _COMPILED_MULTIPLE if self.compiled else 1
        self._apply: Callable[..., Any] = self._apply_gradients
        if self.compiled:
            inner = [self.optimizer.state]
            self._apply = partial(mx.compile, inputs=inner, outputs=inner)(self._apply)
        self.compute(min(recipe.batch, recipe.micro_batch or recipe.batch), recipe.checkpointing)

    def compute(self, micro: int, checkpointing: bool) -> None:
        """Say how gradients are computed: on how many rows at once, and whether with activations computed again."""
        self.micro, self.checkpointing = micro, checkpointing
        if checkpointing:
            repeatable_dropout(self.model)
        self._gradients: Callable[..., Any] = mx.value_and_grad(self._loss)
        self._validation: Callable[..., Any] = self._loss
        if self.compiled:
            # Dropout draws from the global random state, which each step seeds anew.
            random = [mx.random.state]
            self._gradients = partial(mx.compile, inputs=random, outputs=random)(self._gradients)
            self._validation = mx.compile(self._loss)

    def _shared(self) -> mx.array:
        """(P,) tokens that training and validation rows begin with, as far as the model may read them once."""
        first, second = self.train.shared, self.valid.shared
        size = min(len(first), len(second))
        agree = first[:size] == second[:size]
        found = mx.array(first[: size if agree.all() else int(agree.argmin())])
        some = self.train.batch(np.argsort(self.train.lengths)[:2], skip=len(found))
        self.model.eval()
        return found if may_share(self.head, self.model, found, some.tokens) else found[:0]

    def plan(self, steps: int) -> None:
        """Say how many steps there will be in all."""
        self.progressed.planned = steps
        self.progressed.every = max(1, round(steps / self.recipe.evaluations))

    @property
    def batches_an_epoch(self) -> int:
        """Steps in which every row is trained on once."""
        return -(-len(self.train) // self.recipe.batch)

    def numbers(self, step: int) -> Numbers:
        """The rows of a step."""
        epoch, place = divmod(step, self.batches_an_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch, self._order = epoch, self.train.order(self.recipe.batch, self.recipe.seed, epoch)
        return self._order[place]

    def lines(self, progress: Progress, save: Callable[[], None]) -> Iterator[Line]:
        """Train on to the end of the plan or of patience; yields a line at each evaluation, one before the first step.

        Args:
            progress: called after each step with 1 and a note.
            save: called after each step; it may keep :meth:`arrays` and ``progressed``.

        Raises:
            WotdError: the loss is no longer a number.
        """
        now = self.progressed
        started = time.monotonic() - now.seconds
        if not now.history:
            mx.reset_peak_memory()
            yield self._line(started)
        while now.step < now.planned and now.waited < self.recipe.patience:
            numbers, begun = self.numbers(now.step), time.monotonic()
            loss, norm = self.step(numbers)
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise WotdError(f"the loss is {loss:g}, its gradient's norm {norm:g} in step {now.step}; {self._lower}")
            more = (loss, norm, float(self.train.lengths[numbers].sum()), time.monotonic() - begun)
            now.sums = [a + b for a, b in zip(now.sums, more, strict=True)]
            now.seconds = time.monotonic() - started
            progress(1, f"step {now.step}: loss {loss:.3f}, valid {now.history[-1].valid_loss:.3f}")
            if self.recipe.minutes and now.seconds > 60 * self.recipe.minutes:
                now.planned = now.step
            if now.step % now.every == 0 or now.step >= now.planned:
                yield self._line(started)
            save()

    @property
    def _lower(self) -> str:
        recipe = self.recipe
        return f"lower the learning rate (now {recipe.learning_rate:g}) or the scale (now {recipe.lora.scale:g})"

    def _line(self, started: float) -> Line:
        now = self.progressed
        steps = now.step - now.history[-1].step if now.history else 0
        loss, norm, tokens, seconds = now.sums
        valid = self.validate()
        if not math.isfinite(valid):
            raise WotdError(f"the validation loss is {valid:g} after step {now.step}; {self._lower}")
        best = valid < now.best
        now.best, now.waited = (valid, 0) if best else (now.best, now.waited + 1)
        now.seconds = time.monotonic() - started
        line = Line(
            step=now.step,
            loss=loss / steps if steps else None,
            valid_loss=valid,
            learning_rate=self.recipe.rate(max(0, now.step - 1), now.planned),
            gradient_norm=norm / steps if steps else None,
            tokens_per_second=tokens / seconds if seconds else 0.0,
            seconds=now.seconds,
            peak_bytes=mx.get_peak_memory(),
            best=best,
        )
        now.history.append(line)
        now.sums = [0.0] * 4
        self._follow_time()
        return line

    def _follow_time(self) -> None:
        """With a budget of minutes, plan anew from the speed so far, so that the cosine ends when they do."""
        now = self.progressed
        if not self.recipe.minutes or not now.step:
            return
        left = max(0.0, 60 * self.recipe.minutes - now.seconds)
        now.planned = now.step + int(left * now.step / now.seconds)

    def step(self, numbers: Numbers) -> tuple[float, float]:
        """One step of the optimiser on these rows; loss a token of their answers, weighted, and the gradient's norm."""
        # Large odd factors keep the seeds of two trainings apart.
        mx.random.seed((self.recipe.seed * 1_000_003 + self.progressed.step) % 2**32)
        loss, gradients = self.gradients(numbers)
        self.optimizer.learning_rate = mx.array(self.recipe.rate(self.progressed.step, self.progressed.planned))
        self.parameters, norm = self._apply(self.parameters, gradients)
        mx.eval(self.parameters, self.optimizer.state, norm)
        self.model.update(self.parameters)
        self.progressed.step += 1
        return loss, float(norm)

    def gradients(self, numbers: Numbers, rows: Rows | None = None) -> tuple[float, Any]:
        """Loss a token of the answers of these rows (of training), and its gradients, micro-batch by micro-batch."""
        rows = rows or self.train
        self.model.train()
        total = mx.array(float(rows.weights[numbers].sum()))
        loss, gradients = 0.0, None
        with checkpointed(self.model, self.checkpointing), fast_swiglu(self.model):
            for start in range(0, len(numbers), self.micro):
                part = numbers[start : start + self.micro]
                found, more = self._gradients(self.parameters, self._batch(rows, part), total)
                gradients = more if gradients is None else tree_map(mx.add, gradients, more)
                loss += float(found)
                # Evaluated one by one, or the activations of all micro-batches would be held together.
                mx.eval(gradients)
        # Tracing left its own placeholders in the model.
        self.model.update(self.parameters)
        return loss, gradients

    def validate(self) -> float:
        """Loss a token over the answers of the validation rows, weighted as in training, in natural logarithms."""
        self.model.eval()
        self.model.update(self.parameters)
        loss = 0.0
        with fast_swiglu(self.model):
            for numbers in self.valid.in_turn(self.micro):
                loss += float(self._validation(self.parameters, self._batch(self.valid, numbers), mx.array(1.0)))
        self.model.update(self.parameters)
        return loss / float(self.valid.weights.sum())

    @property
    def _skip(self) -> int:
        # A layer that is computed again can't hand its keys on.
        return 0 if self.checkpointing else len(self.shared)

    def _batch(self, rows: Rows, numbers: Numbers) -> Batch:
        return rows.batch(numbers, self._skip, self._multiple)

    def _loss(self, parameters: Any, batch: Batch, total: mx.array) -> mx.array:
        """The loss at the batch's places, its sum divided by ``total``."""
        self.model.update(parameters)
        if self._skip:
            hidden = hidden_behind(self.head, self.model, self.shared, batch.tokens)
        else:
            hidden = self.head.hidden(batch.tokens)
        hidden = hidden.reshape(-1, hidden.shape[-1])[batch.places]
        if not self.checkpointing:
            return self._answers_loss(hidden, batch.targets, batch.weights, batch.repeats) / total
        sums = mx.array(0.0)
        for start in range(0, len(batch.places), _CHUNK):
            part = slice(start, start + _CHUNK)
            about = (batch.targets[part], batch.weights[part], batch.repeats[part])
            chunk = partial(self._answers_loss, targets=about[0], weights=about[1], repeats=about[2])
            sums = sums + mx.checkpoint(chunk)(hidden[part])
        return sums / total

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

    def _apply_gradients(self, parameters: Any, gradients: Any) -> tuple[Any, mx.array]:
        gradients, norm = optim.clip_grad_norm(gradients, self.recipe.clip)
        return self.optimizer.apply_gradients(gradients, parameters), norm

    def arrays(self) -> dict[str, mx.array]:
        """What is trained, and the optimiser's state, by name."""
        return named({"parameters": self.parameters, "optimizer": self.optimizer.state})

    def resume(self, arrays: Mapping[str, mx.array], progressed: Progressed) -> None:
        """Go on from what :meth:`arrays` gave, of the same model and adapters."""

        def read(tree: Any, place: str) -> Any:
            """The same tree with the arrays that were kept: its order decides the last digit of sums over it."""
            return tree_map_with_path(lambda name, _: arrays[f"{place}.{name}"], tree)

        self.parameters = read(self.parameters, "parameters")
        # In place: the compiled update holds on to this very dict.
        self.optimizer.state.update(read(self.optimizer.state, "optimizer"))
        self.model.update(self.parameters)
        self.progressed = progressed
